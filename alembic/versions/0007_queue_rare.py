"""Indexes for what is asked for by a type or state that is rare in a long history

Revision: 0007
Follows: 0006
"""

from concurrently import concurrently, drop_index, make_index

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

SCHEMA = "queue"

#: Name, table, columns, condition. A job comes into its index once, when it ends: what claims change stays as it was.
INDEXES = (
    ("ix_job_ended", "job", ["organisation_id", "state", "id"], "state IN ('cancelled', 'completed', 'failed')"),
    ("ix_event_organisation_id_type_sequence", "event", ["organisation_id", "type", "sequence"], None),
)


def upgrade() -> None:
    with concurrently():
        for name, table, columns, condition in INDEXES:
            make_index(name, table, columns, schema=SCHEMA, where=condition)


def downgrade() -> None:
    with concurrently():
        for name, table, _columns, _condition in INDEXES:
            drop_index(name, table, schema=SCHEMA)
