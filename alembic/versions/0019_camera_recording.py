"""Timelapses and pictures of prints, and which replica records them

Revision: 0019
Follows: 0018
"""

import sqlalchemy as sa
from alembic import op
from columns import created_at, moment

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

SCHEMA = "camera"


def upgrade() -> None:
    op.create_table(
        "timelapse",
        *whose(),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("problem", sa.Text, nullable=True),
        sa.Column("outcome", sa.Text, nullable=True),
        sa.Column("frames", sa.Integer, server_default="0", nullable=False),
        sa.Column("progress", sa.Float, server_default="0", nullable=False),
        sa.Column("size_bytes", sa.BigInteger, server_default="0", nullable=False),
        sa.Column("duration_s", sa.Float, nullable=True),
        moment("started_at"),
        moment("ended_at", nullable=True),
        moment("ready_at", nullable=True),
        created_at(),
        sa.PrimaryKeyConstraint("id", name="pk_timelapse"),
        sa.UniqueConstraint("attempt_id", "camera_id", name="uq_timelapse_attempt_id_camera_id"),
        sa.CheckConstraint(
            "state IN ('recording', 'rendering', 'ready', 'failed', 'empty')", name="ck_timelapse_state"
        ),
        schema=SCHEMA,
    )
    op.create_index("ix_timelapse_organisation_id_id", "timelapse", ["organisation_id", "id"], schema=SCHEMA)
    op.create_index(
        "ix_timelapse_unfinished",
        "timelapse",
        ["id"],
        schema=SCHEMA,
        postgresql_where=sa.text("state IN ('recording', 'rendering')"),
    )
    op.create_table(
        "picture",
        *whose(),
        sa.Column("moment", sa.Text, nullable=False),
        moment("captured_at"),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        created_at(),
        sa.PrimaryKeyConstraint("id", name="pk_picture"),
        sa.CheckConstraint("moment IN ('start', 'end', 'before_failure', 'failure')", name="ck_picture_moment"),
        schema=SCHEMA,
    )
    op.create_index("ix_picture_organisation_id_id", "picture", ["organisation_id", "id"], schema=SCHEMA)
    op.create_index("ix_picture_attempt_id_camera_id", "picture", ["attempt_id", "camera_id"], schema=SCHEMA)
    op.create_table(
        "duty",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("holder", sa.Uuid, nullable=False),
        moment("until"),
        sa.PrimaryKeyConstraint("name", name="pk_duty"),
        schema=SCHEMA,
    )


def downgrade() -> None:
    op.drop_table("duty", schema=SCHEMA)
    op.drop_table("picture", schema=SCHEMA)
    op.drop_table("timelapse", schema=SCHEMA)


def whose() -> list[sa.Column[object]]:
    """What both kinds of recordings are of."""
    names = ("id", "organisation_id", "printer_id", "camera_id", "job_id", "attempt_id")
    return [sa.Column(name, sa.Uuid, nullable=False) for name in names]
