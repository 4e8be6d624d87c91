"""Tags in the database."""

from sqlalchemy import Connection, insert, select

from panelcal.domain.moments import moment_of, to_microseconds
from panelcal.domain.runs import nearest_names
from panelcal.domain.tags import Tag
from panelcal.errors import NotFoundError
from panelcal.storage.tables import TagRow


def tags(connection: Connection) -> list[Tag]:
    """Return all tags, in the order of recording."""
    return [
        Tag(
            name=row.name,
            as_of=moment_of(row.as_of_us),
            recorded_at=moment_of(row.recorded_at_us),
            recorded_by=row.recorded_by,
            reason=row.reason,
        )
        for row in connection.execute(select(TagRow.__table__).order_by(TagRow.recorded_at_us))
    ]


def find_tag(connection: Connection, name: str) -> Tag:
    """Return a tag.

    Raises
    ------
    NotFoundError
        There is none of that name; near misses are named.
    """
    known = {tag.name: tag for tag in tags(connection)}
    if name in known:
        return known[name]
    near = nearest_names(name, known)
    msg = f"there is no tag {name}"
    raise NotFoundError(msg, f"did you mean {', '.join(near)}?" if near else "panelcal tag list")


def add_tag(connection: Connection, tag: Tag) -> None:
    """Record a tag."""
    connection.execute(
        insert(TagRow).values(
            name=tag.name,
            as_of_us=to_microseconds(tag.as_of),
            recorded_at_us=to_microseconds(tag.recorded_at),
            recorded_by=tag.recorded_by,
            reason=tag.reason,
        )
    )
