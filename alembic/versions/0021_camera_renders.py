"""How often the rendering of a timelapse was begun: one that ends whatever works at it is not begun for ever

Revision: 0021
Follows: 0020
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("timelapse", sa.Column("renders", sa.Integer, nullable=False, server_default="0"), schema="camera")


def downgrade() -> None:
    op.drop_column("timelapse", "renders", schema="camera")
