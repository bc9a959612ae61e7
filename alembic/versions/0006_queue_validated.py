"""Conditions of jobs, checked for all rows

In a transaction of its own: the scan of the whole table then stops nobody.

Revision: 0006
Follows: 0005
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("copies_open", "copies_sum"):
        op.execute(f"ALTER TABLE queue.job VALIDATE CONSTRAINT ck_job_{name}")


def downgrade() -> None:
    """Nothing was changed."""
