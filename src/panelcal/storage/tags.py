"""Tags in the database."""

from typing import TYPE_CHECKING

from panelcal.domain.moments import moment_of, to_microseconds
from panelcal.domain.runs import nearest_names
from panelcal.domain.seal import broken_tag, tag_seal
from panelcal.domain.tags import Tag
from panelcal.errors import NotFoundError
from panelcal.storage.reader import rows_of

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from panelcal.storage.reader import Readable

_TAGS = """
SELECT name, as_of_us, recorded_at_us, recorded_by, reason, seal
FROM tag ORDER BY recorded_at_us
"""


def tags(source: "Readable") -> list[Tag]:
    """Return all tags, in the order of recording."""
    return [
        Tag(
            name,
            moment_of(as_of_us),
            moment_of(recorded_at_us),
            recorded_by,
            reason,
            broken_tag((name, as_of_us, recorded_at_us, recorded_by, reason), seal),
        )
        for name, as_of_us, recorded_at_us, recorded_by, reason, seal in rows_of(source, _TAGS)
    ]


def find_tag(source: "Readable", name: str) -> Tag:
    """Return a tag.

    Raises
    ------
    IntegrityError
        Its row is not as it was recorded.
    NotFoundError
        There is none of that name; near misses are named.
    """
    known = {tag.name: tag for tag in tags(source)}
    if name in known:
        broken = known[name].broken
        if broken is not None:
            raise broken.refusal()
        return known[name]
    near = nearest_names(name, known)
    msg = f"there is no tag {name}"
    raise NotFoundError(msg, f"did you mean {', '.join(near)}?" if near else "panelcal tag list")


def add_tag(connection: "Connection", tag: Tag) -> None:
    """Record a tag."""
    from sqlalchemy import insert

    from panelcal.storage.tables import TagRow

    values = {
        "name": tag.name,
        "as_of_us": to_microseconds(tag.as_of),
        "recorded_at_us": to_microseconds(tag.recorded_at),
        "recorded_by": tag.recorded_by,
        "reason": tag.reason,
    }
    connection.execute(insert(TagRow).values(**values, seal=tag_seal(values.values())))
