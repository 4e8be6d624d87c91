"""Fsck of the payloads: is every one there that a row names, whole, and what else is there."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from panelcal.domain.findings import Code, Finding
from panelcal.domain.report import Progress
from panelcal.errors import IntegrityError
from panelcal.services.fsck_database import NamedPayload
from panelcal.storage.name_checks import is_digest
from panelcal.storage.payload_tree import PayloadTree
from panelcal.storage.payloads import PayloadStore
from panelcal.storage.row_checks import RESTORE

REPAIR = "panelcal fsck --repair-from OTHER_STORE, or deliver the same files again"
"""What to do about a payload that is missing or damaged."""

_PERMISSIONS = "look at the permissions; ask who owns it"


def tree_findings(tree: PayloadTree, named: Mapping[str, object] | None) -> Iterator[Finding]:
    """Find what lies among the payloads and is none that a row names.

    Parameters
    ----------
    tree : PayloadTree
        Read before the rows were, so that no payload in it is younger than its row.
    named : mapping by digest, or None
        What rows name; None if they cannot be read, so that nothing can be called an orphan.
    """
    for path, why in tree.unreadable:
        message = f"it cannot be listed: {why}"
        yield Finding(Code.PAYLOADS_UNREADABLE, str(path), message, _PERMISSIONS)
    if named is not None:
        for digest, path in sorted(tree.digests.items()):
            if digest not in named:
                message = f"no row names {path}: a delivery was interrupted, or is being recorded"
                yield Finding(Code.PAYLOAD_ORPHAN, f"payload {digest}", message, "panelcal gc")
    for path in tree.left_over:
        message = "it is being written, or its writer was interrupted"
        yield Finding(Code.LEFT_OVER, str(path), message, "panelcal gc, when no writer is at work")
    for path in tree.foreign:
        message = "it is neither a payload nor anything of panelcal's"
        yield Finding(Code.FOREIGN_FILE, str(path), message, "remove it, if nobody needs it")
    for path in tree.aside:
        message = "a damaged payload that another was put in place of"
        yield Finding(Code.MOVED_ASIDE, str(path), message, "remove it, if nobody needs it")


def payload_findings(
    payloads: PayloadStore,
    named: Mapping[str, NamedPayload],
    *,
    verify_data: bool,
    progress: Progress | None = None,
) -> Iterator[Finding]:
    """Find payloads that rows name and that are missing or damaged.

    Parameters
    ----------
    verify_data : bool
        Read every payload and compute its digest; without it only descriptions
        and sizes are looked at.
    """
    # What is no digest is a finding of its own, and no path is made of it.
    digests = sorted(filter(is_digest, named))
    for done, digest in enumerate(digests, 1):
        one = named[digest]
        found = _judged(payloads, digest, one, verify_data=verify_data)
        if found is not None:
            yield found
        if progress is not None:
            progress(done, len(digests), one.uses[0] if one.uses else digest[:8])


def _judged(
    payloads: PayloadStore, digest: str, named: NamedPayload, *, verify_data: bool
) -> Finding | None:
    subject = f"payload {digest}"
    used = f"{', '.join(named.uses) or 'a payload row'}: "
    try:
        if not payloads.has(digest):
            message = f"{used}it is not in {payloads.root}"
            return Finding(Code.PAYLOAD_MISSING, subject, message, REPAIR)
        stored = payloads.find(digest)
        if verify_data:
            stored.audit()
        else:
            stored.require_size()
    except IntegrityError as error:
        return Finding(Code.PAYLOAD_DAMAGED, subject, f"{used}{error.message}", REPAIR)
    except OSError as error:
        message = f"{used}it cannot be read: {error}"
        return Finding(Code.PAYLOAD_UNREADABLE, subject, message, _PERMISSIONS)
    shape = ",".join(map(str, stored.shape))
    if named.shapes - {shape}:
        message = f"{used}it has the shape {shape}, its row says {' and '.join(named.shapes)}"
        if verify_data:
            # The digest is over the shape too: it is the row that is wrong.
            return Finding(Code.PAYLOAD_ROW_WRONG, subject, message, RESTORE)
        return Finding(Code.PAYLOAD_DAMAGED, subject, message, REPAIR)
    return None


def staging_findings(paths: list[Path]) -> Iterator[Finding]:
    """Report the directories in which stores were being made."""
    for path in paths:
        message = "a store was being made here, or is"
        yield Finding(Code.LEFT_OVER, str(path), message, "panelcal gc, when no init is at work")
