"""Indexes for the copies of a job that were given up, and for the jobs of one person

Revision: 0008
Follows: 0007
"""

import sqlalchemy as sa
from alembic import op
from concurrently import concurrently

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SCHEMA = "queue"

#: Name, table, columns, condition.
INDEXES = (
    ("ix_attempt_dropped", "attempt", ["job_id", "copy_number"], "reason = 'resolved_drop'"),
    ("ix_job_organisation_id_created_by_id", "job", ["organisation_id", "created_by", "id"], None),
)


def upgrade() -> None:
    with concurrently():
        for name, table, columns, condition in INDEXES:
            # One that was interrupted is left behind, and is of no use.
            op.drop_index(name, table, schema=SCHEMA, if_exists=True, postgresql_concurrently=True)
            op.create_index(
                name,
                table,
                columns,
                schema=SCHEMA,
                postgresql_where=sa.text(condition) if condition else None,
                postgresql_concurrently=True,
            )


def downgrade() -> None:
    with concurrently():
        for name, table, _columns, _condition in INDEXES:
            op.drop_index(name, table, schema=SCHEMA, if_exists=True, postgresql_concurrently=True)
