"""Links that share a camera

Revision: 0018
Follows: 0017
"""

import sqlalchemy as sa
from alembic import op
from columns import created_at, moment

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

SCHEMA = "camera"


def upgrade() -> None:
    op.create_table(
        "share",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("organisation_id", sa.Uuid, nullable=False),
        sa.Column("camera_id", sa.Uuid, nullable=False),
        sa.Column("token_hash", sa.LargeBinary, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("maker_id", sa.Uuid, nullable=False),
        sa.Column("api_key_id", sa.Uuid, nullable=True),
        sa.Column("max_viewers", sa.Integer, nullable=False),
        created_at(),
        moment("expires_at"),
        moment("ended_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_share"),
        sa.ForeignKeyConstraint(["camera_id"], ["camera.camera.id"], name="fk_share_camera_id", ondelete="CASCADE"),
        sa.UniqueConstraint("token_hash", name="uq_share_token_hash"),
        sa.CheckConstraint("max_viewers > 0", name="ck_share_max_viewers"),
        schema=SCHEMA,
    )
    op.create_index("ix_share_camera_id", "share", ["camera_id"], schema=SCHEMA)
    op.create_index("ix_share_expires_at", "share", ["expires_at"], schema=SCHEMA)
    op.create_index("ix_share_ended_at", "share", ["ended_at"], schema=SCHEMA)


def downgrade() -> None:
    op.drop_table("share", schema=SCHEMA)
