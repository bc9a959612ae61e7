"""Copies that a person gave up, and since when an outcome is unknown

Revision: 0005
Follows: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

SCHEMA = "queue"


def upgrade() -> None:
    op.add_column("attempt", sa.Column("unknown_at", sa.DateTime(timezone=True), nullable=True), schema=SCHEMA)
    op.add_column("job", sa.Column("copies_dropped", sa.Integer, server_default="0", nullable=False), schema=SCHEMA)
    _check("copies_open", "copies_open >= 0 AND copies_completed >= 0 AND copies_dropped >= 0")
    _check("copies_sum", "copies_open + copies_completed + copies_dropped <= copies")


def downgrade() -> None:
    _check("copies_open", "copies_open >= 0 AND copies_completed >= 0")
    _check("copies_sum", "copies_open + copies_completed <= copies")
    op.drop_column("job", "copies_dropped", schema=SCHEMA)
    op.drop_column("attempt", "unknown_at", schema=SCHEMA)


def _check(name: str, condition: str) -> None:
    """Replace a condition; the next revision checks it for the rows that are there, without holding up those that
    come."""
    op.execute(f"ALTER TABLE {SCHEMA}.job DROP CONSTRAINT ck_job_{name}")
    op.execute(f"ALTER TABLE {SCHEMA}.job ADD CONSTRAINT ck_job_{name} CHECK ({condition}) NOT VALID")
