"""Modules: deliver a constant set, list and show what was delivered."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from panelcal.domain.deliveries import parse_module_name
from panelcal.domain.quality import Verdict
from panelcal.domain.text import one_line, printable
from panelcal.errors import ConflictError, InvalidInputError, NotFoundError
from panelcal.services.delivery import Delivery, read_delivery
from panelcal.services.judge import (
    Background,
    judge_payloads,
    read_background,
    require_accepted,
)
from panelcal.services.sealed import SealedRows
from panelcal.services.type_choice import TypeChoice
from panelcal.storage.modules import (
    ConstantSet,
    NewConstantSet,
    add_constant_sets,
    constant_sets,
    find_constant_set,
)
from panelcal.storage.quality import RecordedVerdict, add_verdict, last_verdicts
from panelcal.storage.recording import recording_time
from panelcal.storage.store import OpenStore

if TYPE_CHECKING:
    from panelcal.storage.reader import Readable


def deliver(
    store: OpenStore,
    module: str,
    directory: Path,
    *,
    now: datetime,
    user: str,
    reason: str,
    cast: bool = False,
    detector_type: str | None = None,
    accept: str | None = None,
) -> tuple[ConstantSet, Sequence[str]]:
    """Record a directory of files as the next revision of a module.

    It is judged by the rules of its detector type first, and the verdict is
    recorded with it. No answer changes until somebody assigns the new revision.
    Where a revision with these contents has lost payloads, they are restored and
    it is returned.

    Parameters
    ----------
    cast : bool
        Round to float32 where that loses bits.
    accept : str or None
        Why errors of the verdict are no reason to refuse it; kept with the verdict.
    detector_type : str or None
        Name of the type that a new module is to be of; None is the store's only one,
        or jungfrau. A module that has deliveries keeps its type.

    Returns
    -------
    constant_set : ConstantSet
        What was recorded.
    extra : sequence of str
        Files in the directory that are no part of it.

    Raises
    ------
    InvalidInputError
        The name is malformed, or a file is missing or unacceptable.
    NotFoundError
        There is no such directory, or no such detector type.
    FindingsError
        The rules find errors, and nobody accepts them.
    ConflictError
        The module has a revision with these contents already, or is of another
        detector type than was named.
    IntegrityError
        What it is compared with is not as it was recorded.
    """
    parse_module_name(module)
    reason = one_line(reason, "reason")
    accept = None if accept is None else one_line(accept, "reason for accepting findings")
    if not directory.is_dir():
        msg = f"{printable(directory)} is not a directory"
        raise NotFoundError(msg)
    with store.database.reading() as connection:
        choice = TypeChoice(connection, detector_type)
        of = choice.of_module(module)
        background = read_background(connection, of)
    try:
        delivery = read_delivery(directory, of, cast=cast)
    except InvalidInputError as error:
        raise InvalidInputError(error.message, error.hint or choice.hint(module)) from error
    verdict: Verdict | None = None
    if not background.has(module, delivery.payloads):
        verdict = _judged(store.database.reader, store, background, delivery, module, accept)
    with store.payloads.batch() as batch:
        digests = {name: batch.add(array) for name, array in delivery.payloads.items()}
        with store.database.writing() as connection:
            for known in constant_sets(connection, module):
                if known.digests == digests and batch.pending:
                    # Payloads of this very revision were lost; now they are back.
                    batch.publish()
                    return known, delivery.extra
                if known.digests == digests:
                    msg = f"{module}@{known.revision} has just these contents already"
                    raise ConflictError(msg, f"panelcal module show {module}")
            latest = read_background(connection, of)
            if verdict is None or latest != background:
                # Others delivered meanwhile: judged again, with nobody between now.
                verdict = _judged(connection, store, latest, delivery, module, accept, verdict)
            at = recording_time(connection, now)
            batch.publish()
            new = NewConstantSet(module, digests, printable(directory.resolve()), reason)
            (constant_set,) = add_constant_sets(connection, of, [new], now=at, user=user)
            add_verdict(connection, constant_set.id, verdict, now=at, user=user)
    return constant_set, delivery.extra


def _judged(
    source: "Readable",
    store: OpenStore,
    background: Background,
    delivery: Delivery,
    module: str,
    accept: str | None,
    before: Verdict | None = None,
) -> Verdict:
    """Return the verdict on a delivery, refusing errors that are not accepted.

    Judged again, it has only those errors accepted that it had `before`.
    """
    verdict = judge_payloads(source, store.payloads, background, delivery.payloads, module)
    if verdict.errors:
        accepted = accept if before is None else verdict.still_accepted(before)
        verdict = replace(verdict, accepted=accepted)
    require_accepted(verdict, f"the delivery for {module}")
    return verdict


def verdicts(
    store: OpenStore, constant_sets: Sequence[ConstantSet]
) -> dict[tuple[str, int], RecordedVerdict]:
    """Return the verdict that holds of each constant set that was judged, by its name.

    Raises
    ------
    IntegrityError
        A verdict is not as it was recorded.
    """
    with store.database.reading() as connection:
        found = last_verdicts(connection, {one.id for one in constant_sets})
    return {(one.module, one.revision): found[one.id] for one in constant_sets if one.id in found}


def list_constant_sets(store: OpenStore, module: str | None = None) -> list[ConstantSet]:
    """Return all revisions of all modules, or of one.

    Raises
    ------
    InvalidInputError
        The name is malformed.
    NotFoundError
        There is no such module.
    IntegrityError
        A revision is not as it was recorded.
    """
    if module is not None:
        parse_module_name(module)
    with store.database.reading() as connection:
        if module is not None:
            find_constant_set(connection, module, None)
        found = constant_sets(connection, module)
        SealedRows(connection).require_sets(found)
    return found
