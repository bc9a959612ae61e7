"""An index of the copies that were given up

Revision: 0008
Follows: 0007
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

NAME, TABLE, SCHEMA = "ix_attempt_dropped", "attempt", "queue"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        # One that was interrupted is left behind, and is of no use.
        op.drop_index(NAME, TABLE, schema=SCHEMA, if_exists=True, postgresql_concurrently=True)
        op.create_index(
            NAME,
            TABLE,
            ["job_id", "copy_number"],
            schema=SCHEMA,
            postgresql_where=sa.text("reason = 'resolved_drop'"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.drop_index(NAME, TABLE, schema=SCHEMA, if_exists=True, postgresql_concurrently=True)
