"""Indexes for the copies of a job that were given up, and for the jobs of one person

Revision: 0008
Follows: 0007
"""

from concurrently import concurrently, drop_index, make_index

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
            make_index(name, table, columns, schema=SCHEMA, where=condition)


def downgrade() -> None:
    with concurrently():
        for name, table, _columns, _condition in INDEXES:
            drop_index(name, table, schema=SCHEMA)
