"""Run migrations on the connection that panelcal hands over, or on `-x store=DIR`."""

from pathlib import Path

from alembic import context
from sqlalchemy import Connection

from panelcal.storage.store import open_database
from panelcal.storage.tables import Base


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        compare_type=True,
        # The unit of work around us begins and ends the transaction, so that a
        # failed migration leaves nothing behind, on SQLite too.
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


handed_over = context.config.attributes.get("connection")
if handed_over is not None:
    run(handed_over)
else:
    directory = context.get_x_argument(as_dictionary=True).get("store")
    if not directory:
        raise SystemExit("name a store: alembic -x store=DIR ...")  # noqa: EM101
    with open_database(Path(directory)) as database, database.writing() as connection:
        run(connection)
