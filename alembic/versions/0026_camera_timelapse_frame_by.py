"""How a timelapse was begun, by layer or by interval: it goes on so, whatever the camera is set to meanwhile

Revision: 0026
Follows: 0025
"""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

SCHEMA, TABLE = "camera", "timelapse"


def upgrade() -> None:
    op.add_column(TABLE, sa.Column("frame_by", sa.Text), schema=SCHEMA)
    op.add_column(TABLE, sa.Column("interval_s", sa.Float), schema=SCHEMA)
    op.create_check_constraint("ck_timelapse_frame_by", TABLE, "frame_by IN ('layer', 'interval')", schema=SCHEMA)
    both = "(frame_by IS NULL) = (interval_s IS NULL)"
    op.create_check_constraint("ck_timelapse_interval_s", TABLE, both, schema=SCHEMA)


def downgrade() -> None:
    op.drop_column(TABLE, "interval_s", schema=SCHEMA)
    op.drop_column(TABLE, "frame_by", schema=SCHEMA)
