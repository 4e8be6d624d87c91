"""Verify a bundle: every member, every payload, every row."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from panelcal.domain.findings import Severity
from panelcal.domain.report import Progress
from panelcal.domain.text import count_of
from panelcal.errors import IntegrityError, NotFoundError
from panelcal.services.fsck import fsck_open
from panelcal.storage.bundle import Bundle, read_bundle
from panelcal.storage.bundle_manifest import Manifest
from panelcal.storage.bundle_payloads import BundlePayloads
from panelcal.storage.store import is_bundle, open_store


@dataclass(frozen=True, slots=True)
class Verified:
    """What was found in a bundle.

    Parameters
    ----------
    manifest : Manifest
        What it says of itself.
    faults : tuple of str
        What is wrong, one thing each; empty if nothing is.
    """

    manifest: Manifest
    faults: tuple[str, ...]

    def raise_if_damaged(self, what: str, hint: str) -> None:
        """Raise what the faults amount to.

        Parameters
        ----------
        what, hint : str
            What was verified; what to do about faults.

        Raises
        ------
        IntegrityError
            There are any.
        """
        if self.faults:
            msg = f"{count_of(len(self.faults), 'fault')} in {what}; the first: {self.faults[0]}"
            raise IntegrityError(msg, hint)


def verify_bundle(path: Path, *, now: datetime, progress: Progress | None = None) -> Verified:
    """Verify a bundle or a backup, its rows included, as fsck does a store.

    Parameters
    ----------
    now : datetime
        The time, aware: nothing was recorded after it.

    Raises
    ------
    NotFoundError
        There is no such bundle.
    InvalidInputError
        It is something else than a bundle.
    IntegrityError
        It cannot be opened at all: cut short, or hostile.
    SchemaError
        It was made with another schema.
    """
    bundle = read_bundle(require_bundle(path))
    faults = list(_wrong_members(bundle, progress))
    if any(fault.startswith(bundle.manifest.database) for fault in faults):
        # Of a database that is not as listed nothing is to be believed.
        return Verified(bundle.manifest, tuple(faults))
    with open_store(path) as opened:
        report = fsck_open(opened, now=now, verify_data=True, progress=progress)
    faults += [
        f"{found.subject}: {found.message}"
        for found in report.findings
        if found.severity is Severity.ERROR
    ]
    return Verified(bundle.manifest, tuple(faults))


def verify_digests(path: Path, progress: Progress | None = None) -> Verified:
    """Verify every member and every payload of a bundle or a backup, and leave rows as they are.

    Raises
    ------
    NotFoundError, InvalidInputError, IntegrityError
        As `verify_bundle`.
    """
    bundle = read_bundle(require_bundle(path))
    faults = [*_wrong_members(bundle, progress), *_wrong_payloads(bundle, progress)]
    return Verified(bundle.manifest, tuple(faults))


def require_bundle(path: Path) -> Path:
    """Return the path of something that may be a bundle.

    Raises
    ------
    NotFoundError
        There is nothing, or a directory without a list of members.
    """
    if not is_bundle(path):
        msg = f"there is no bundle {path}"
        raise NotFoundError(msg, "`panelcal bundle create` and `panelcal backup` make them")
    return path


def _wrong_members(bundle: Bundle, progress: Progress | None) -> Iterator[str]:
    members = bundle.manifest.members
    for done, member in enumerate(members, 1):
        try:
            bundle.require_digest(member.name, bundle.digest_of(member.name))
        except IntegrityError as error:
            yield error.message
        if progress is not None:
            progress(done, len(members), "hashing")


def _wrong_payloads(bundle: Bundle, progress: Progress | None) -> Iterator[str]:
    digests = bundle.manifest.payloads
    with BundlePayloads.opened(bundle) as payloads:
        for done, digest in enumerate(digests, 1):
            try:
                payloads.audit(digest)
            except IntegrityError as error:
                yield error.message
            if progress is not None:
                progress(done, len(digests), "verifying")
