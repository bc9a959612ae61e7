"""How prints are recorded by each camera: as the installation is set, by layer, by interval, or not at all

Revision: 0024
Follows: 0023
"""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

SCHEMA = "camera"


def upgrade() -> None:
    mode = sa.Column("recording", sa.Text, nullable=False, server_default="default")
    op.add_column("camera", mode, schema=SCHEMA)
    op.add_column("camera", sa.Column("recording_interval_s", sa.Float), schema=SCHEMA)
    modes = "recording IN ('default', 'layer', 'interval', 'off')"
    op.create_check_constraint("ck_camera_recording", "camera", modes, schema=SCHEMA)
    interval = "recording_interval_s BETWEEN 1 AND 3600"
    op.create_check_constraint("ck_camera_recording_interval_s", "camera", interval, schema=SCHEMA)


def downgrade() -> None:
    op.drop_column("camera", "recording_interval_s", schema=SCHEMA)
    op.drop_column("camera", "recording", schema=SCHEMA)
