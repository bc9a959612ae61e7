"""Several cameras a printer, how they are mounted, and how their sources are

Revision: 0017
Follows: 0016
"""

import sqlalchemy as sa
from alembic import op
from columns import moment

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

SCHEMA = "camera"


def upgrade() -> None:
    for column in (
        sa.Column("key", sa.Text, server_default="default", nullable=False),
        sa.Column("rotate", sa.SmallInteger, server_default="0", nullable=False),
        sa.Column("flip_h", sa.Boolean, server_default=sa.false(), nullable=False),
        sa.Column("flip_v", sa.Boolean, server_default=sa.false(), nullable=False),
        sa.Column("source_state", sa.Text, server_default="unknown", nullable=False),
        sa.Column("source_reason", sa.Text, nullable=True),
        sa.Column("source_detail", sa.Text, nullable=True),
        moment("source_since", nullable=True),
    ):
        op.add_column("camera", column, schema=SCHEMA)
    op.create_unique_constraint(
        "uq_camera_organisation_id_printer_id_key", "camera", ["organisation_id", "printer_id", "key"], schema=SCHEMA
    )
    op.drop_constraint("uq_camera_organisation_id_printer_id", "camera", schema=SCHEMA)
    op.create_check_constraint("ck_camera_rotate", "camera", "rotate IN (0, 90, 180, 270)", schema=SCHEMA)
    op.create_check_constraint(
        "ck_camera_source_state", "camera", "source_state IN ('unknown', 'ok', 'failed')", schema=SCHEMA
    )
    op.create_check_constraint(
        "ck_camera_source_reason", "camera", "(source_state = 'failed') = (source_reason IS NOT NULL)", schema=SCHEMA
    )


def downgrade() -> None:
    # The version before knows one camera a printer.
    op.execute("DELETE FROM camera.camera WHERE key <> 'default'")
    op.create_unique_constraint(
        "uq_camera_organisation_id_printer_id", "camera", ["organisation_id", "printer_id"], schema=SCHEMA
    )
    op.drop_constraint("uq_camera_organisation_id_printer_id_key", "camera", schema=SCHEMA)
    for name in ("source_since", "source_detail", "source_reason", "source_state", "flip_v", "flip_h", "rotate", "key"):
        op.drop_column("camera", name, schema=SCHEMA)
