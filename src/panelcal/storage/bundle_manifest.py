"""``bundle.json``: what a bundle holds, from when, and every member with its digest."""

import json
import re
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from panelcal.domain.text import excerpt
from panelcal.errors import IntegrityError, InvalidInputError, SchemaError

MANIFEST_NAME = "bundle.json"
"""A directory with such a file is a bundle."""

FORMAT = "panelcal bundle"
VERSION = 1

MAX_MANIFEST_BYTES = 2**28
"""No list of members is longer; it is read as a whole."""

MAX_MEMBER_NAME = 400

Holds = Literal["selection", "everything"]

_MEMBER = re.compile(
    r"panelcal(-[0-9a-f]{16})?\.db\Z"
    r"|payloads/(?P<folder>[0-9a-f]{2})/(?P<digest>(?P=folder)[0-9a-f]{62})"
    r"(/[A-Za-z0-9_][A-Za-z0-9._-]*)+\Z",
    re.ASCII,
)
_DIGEST = re.compile(r"[0-9a-f]{64}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a bundle.

    Parameters
    ----------
    name : str
        ``panelcal.db`` or ``payloads/<2 digits>/<digest>/...``.
    size : int
        Bytes.
    sha256 : str
        Of its bytes, 64 hexadecimal digits.
    """

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Selection:
    """What of a store was asked for.

    Parameters
    ----------
    tag : str or None
        Everything that was known as of this tag; None is now.
    as_of : str or None
        The tag's transaction time, ISO 8601.
    detectors : tuple of str
        Only these detector ids and datasets, as they were typed; empty is all.
    """

    tag: str | None = None
    as_of: str | None = None
    detectors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """What ``bundle.json`` says.

    Parameters
    ----------
    holds : {'selection', 'everything'}
        Part of a store's record; or, in a backup, all of it, deployments included.
    made_at, made_by : str
        ISO 8601 in UTC; ``panelcal <version>``.
    schema : str
        Schema revision of the database.
    selection : Selection
        What was asked for.
    database : str
        Name of the member that is the database.
    members : tuple of Member
        Every file but ``bundle.json`` itself, by name.
    """

    holds: Holds
    made_at: str
    made_by: str
    schema: str
    selection: Selection
    database: str
    members: tuple[Member, ...]

    @property
    def payloads(self) -> list[str]:
        """Digests of the payloads, sorted."""
        return sorted({digest for one in self.members if (digest := payload_of(one.name))})

    def text(self) -> str:
        """Return the file."""
        document = {"format": FORMAT, "version": VERSION, **asdict(self)}
        return json.dumps(document, indent=1) + "\n"


def is_member_name(name: str) -> bool:
    """Say whether a file of that name belongs in a bundle: no other is ever opened."""
    return len(name) <= MAX_MEMBER_NAME and _MEMBER.match(name) is not None


def payload_of(name: str) -> str | None:
    """Return the digest of the payload that a member is part of."""
    found = _MEMBER.match(name)
    return found["digest"] if found else None


def read_manifest(content: bytes, where: str) -> Manifest:
    """Read ``bundle.json``, believing nothing.

    Parameters
    ----------
    where : str
        The bundle, for messages.

    Raises
    ------
    InvalidInputError
        It describes something else than a bundle.
    SchemaError
        A newer panelcal made it, in a format that this one does not know.
    IntegrityError
        It is damaged.
    """
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        msg = f"{MANIFEST_NAME} of {where} is no JSON: {error}"
        raise IntegrityError(msg, "get the bundle again") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        msg = f"{MANIFEST_NAME} of {where} describes no panelcal bundle"
        raise InvalidInputError(msg, "name what `panelcal bundle create` or `backup` made")
    version = found.get("version")
    if version != VERSION:
        msg = f"{where} has bundle format {excerpt(str(version))}; this panelcal knows {VERSION}"
        raise SchemaError(msg, "pip install --upgrade panelcal")
    try:
        manifest = _manifest(found)
    except (KeyError, TypeError, ValueError) as error:
        msg = f"{MANIFEST_NAME} of {where} is damaged: {error}"
        raise IntegrityError(msg, "get the bundle again") from error
    return manifest


def _manifest(found: dict[str, Any]) -> Manifest:
    selection = found["selection"]
    manifest = Manifest(
        holds=_one_of(found["holds"], get_args(Holds)),
        made_at=_text(found["made_at"]),
        made_by=_text(found["made_by"]),
        schema=_text(found["schema"]),
        selection=Selection(
            None if selection["tag"] is None else _text(selection["tag"]),
            None if selection["as_of"] is None else _text(selection["as_of"]),
            tuple(map(_text, selection["detectors"])),
        ),
        database=_text(found["database"]),
        members=tuple(map(_member, found["members"])),
    )
    names = [member.name for member in manifest.members]
    if sorted(set(names)) != names:
        msg = "its members are not sorted, or one is named twice"
        raise ValueError(msg)
    if [name for name in names if payload_of(name) is None] != [manifest.database]:
        msg = "its members are not one database and payloads"
        raise ValueError(msg)
    return manifest


def _member(found: Any) -> Member:
    member = Member(_text(found["name"]), found["size"], _text(found["sha256"]))
    if not is_member_name(member.name):
        msg = f"{excerpt(member.name)} does not belong in a bundle"
        raise ValueError(msg)
    if type(member.size) is not int or member.size < 0 or not _DIGEST.match(member.sha256):
        msg = f"size or digest of {member.name}"
        raise ValueError(msg)
    return member


def _text(value: Any) -> str:
    if not isinstance(value, str):
        msg = f"{excerpt(str(value))} where text belongs"
        raise TypeError(msg)
    return value


def _one_of(value: Any, known: tuple[Any, ...]) -> Any:
    if value not in known:
        msg = f"{excerpt(str(value))} is none of {', '.join(known)}"
        raise ValueError(msg)
    return value
