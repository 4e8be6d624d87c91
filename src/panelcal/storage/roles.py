"""SQL that makes roles on PostgreSQL: who may read, add, and administer."""

import re

from panelcal.domain.text import excerpt
from panelcal.errors import InvalidInputError
from panelcal.storage.tables import Base

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,40}\Z", re.ASCII)

ADDED_TO = (
    "module",
    "constant_set",
    "payload",
    "constant_set_payload",
    "panel",
    "assignment",
    "latest_start",
    "run",
    "deployment",
    "deployment_panel",
    "tag",
    "quality_verdict",
    "quality_finding",
    "quality_plane",
    "approval_mode",
    "proposal",
    "proposal_assignment",
    "decision",
)
"""Tables that a curator adds rows to. Nobody changes or removes any."""

VIEWS = ("current_assignment", "ledger", "deployed", "panel_by_serial", "run_use")


FUNCTIONS = (
    "panelcal_refuse_change()",
    "panelcal_refuse_wrong_times()",
    "panelcal_keep_latest_start()",
)


def roles_sql(prefix: str = "panelcal", schema: str = "public") -> str:
    """Return the statements that make three roles.

    ``<prefix>_reader`` reads; ``<prefix>_curator`` reads and adds rows;
    ``<prefix>_admin`` owns the tables and runs migrations. Users are given a
    role by ``GRANT panelcal_curator TO somebody``. Running it twice does no harm.

    Parameters
    ----------
    prefix : str
        First part of the names of the roles: letters, digits, underscores.
    schema : str
        The schema that the tables are in, of the same letters.

    Raises
    ------
    InvalidInputError
        A name has other characters.
    """
    for name in (prefix, schema):
        if not _NAME.match(name):
            msg = f"{excerpt(name)} is no name of a role or a schema"
            raise InvalidInputError(msg, "small letters, digits and underscores")
    reader, curator, admin = (f"{prefix}_{name}" for name in ("reader", "curator", "admin"))
    tables = [*sorted(Base.metadata.tables), "alembic_version"]
    everything = ", ".join([*tables, *VIEWS])
    lines = [
        "-- Run as the owner of the database, after `panelcal db upgrade`.",
        f"SET search_path TO {schema};",
    ]
    lines += [
        f"DO $$ BEGIN CREATE ROLE {role} NOLOGIN; "
        f"EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
        for role in (reader, curator, admin)
    ]
    lines += [
        f"GRANT {reader} TO {curator};",
        f"GRANT {curator} TO {admin};",
        f"REVOKE ALL ON {everything} FROM PUBLIC, {reader}, {curator};",
        f"GRANT USAGE ON SCHEMA {schema} TO {reader};",
        f"GRANT SELECT ON {everything} TO {reader};",
        f"GRANT INSERT ON {', '.join(ADDED_TO)} TO {curator};",
        f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {curator};",
        f"GRANT CREATE ON SCHEMA {schema} TO {admin};",
    ]
    lines += [f"ALTER TABLE {table} OWNER TO {admin};" for table in tables]
    lines += [f"ALTER VIEW {view} OWNER TO {admin};" for view in VIEWS]
    lines += [f"ALTER FUNCTION {function} OWNER TO {admin};" for function in FUNCTIONS]
    return "\n".join(lines) + "\n"
