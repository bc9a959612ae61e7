"""Since when a printer's connection is what it is: one whose OctoPrint has been silent for long waits for a person

Revision: 0022
Follows: 0021
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    column = sa.Column("connection_since", sa.DateTime(timezone=True))
    op.add_column("printer", column, schema="queue")


def downgrade() -> None:
    op.drop_column("printer", "connection_since", schema="queue")
