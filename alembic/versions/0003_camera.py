"""Cameras

Revision: 0003
Follows: 0002
"""

import sqlalchemy as sa
from alembic import op
from service_schema import create_schema, drop_schema

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

SCHEMA = "camera"


def upgrade() -> None:
    create_schema(SCHEMA)
    op.create_table(
        "camera",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("organisation_id", sa.Uuid, nullable=False),
        sa.Column("printer_id", sa.Uuid, nullable=False),
        sa.Column("bridge_id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("last_frame_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_camera"),
        sa.UniqueConstraint("organisation_id", "printer_id", name="uq_camera_organisation_id_printer_id"),
        schema=SCHEMA,
    )
    op.create_index("ix_camera_organisation_id_id", "camera", ["organisation_id", "id"], schema=SCHEMA)


def downgrade() -> None:
    drop_schema(SCHEMA)
