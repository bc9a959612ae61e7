"""Indexes that keep the queue's cost independent of its history

Revision: 0004
Follows: 0003
"""

from alembic import op
from concurrently import concurrently, drop_index, make_index

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SCHEMA = "queue"
#: Rows of these tables pass through partial indexes while a job lives. The dead entries that they leave there lie where
#: each claim begins to read: they are cleared by number, not by their share of a table that only grows.
BUSY_TABLES = ("job", "attempt")


#: Name, table, columns, condition.
INDEXES = (
    ("ix_job_open", "job", ["organisation_id", "id"], "state IN ('active', 'cancelling', 'queued', 'unknown')"),
    (
        "ix_attempt_fault",
        "attempt",
        ["job_id", "printer_id"],
        "state = 'released' AND reason IN ('bridge_storage_failed', 'file_rejected', 'octoprint_refused',"
        " 'start_refused', 'transfer_failed')",
    ),
)


def upgrade() -> None:
    with concurrently():
        for name, table, columns, condition in INDEXES:
            make_index(name, table, columns, schema=SCHEMA, where=condition)
    for table in BUSY_TABLES:
        op.execute(
            f"ALTER TABLE {SCHEMA}.{table} SET (autovacuum_vacuum_scale_factor = 0,"
            " autovacuum_vacuum_threshold = 10000, vacuum_index_cleanup = on)"
        )


def downgrade() -> None:
    for table in BUSY_TABLES:
        op.execute(
            f"ALTER TABLE {SCHEMA}.{table} RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold,"
            " vacuum_index_cleanup)"
        )
    with concurrently():
        for name, table, _columns, _condition in INDEXES:
            drop_index(name, table, schema=SCHEMA)
