"""Watching for trouble: what is watched for, what was seen, and when pictures last came

Revision: 0020
Follows: 0019
"""

import sqlalchemy as sa
from alembic import op
from columns import created_at, moment
from sqlalchemy.dialects.postgresql import JSONB

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

SCHEMA = "camera"


def upgrade() -> None:
    create_policies()
    create_sightings()
    create_decisions()


def downgrade() -> None:
    op.drop_table("decision", schema=SCHEMA)
    op.drop_table("sighting", schema=SCHEMA)
    op.drop_table("watch_policy", schema=SCHEMA)


def create_policies() -> None:
    op.create_table(
        "watch_policy",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("organisation_id", sa.Uuid, nullable=False),
        sa.Column("printer_id", sa.Uuid, nullable=True),
        sa.Column("frozen", sa.Text, nullable=False),
        sa.Column("black", sa.Text, nullable=False),
        sa.Column("no_picture", sa.Text, nullable=False),
        sa.Column("failure", sa.Text, nullable=False),
        sa.Column("enter_score", sa.Float, nullable=False),
        sa.Column("leave_score", sa.Float, nullable=False),
        sa.Column("enter_after_s", sa.Integer, nullable=False),
        sa.Column("leave_after_s", sa.Integer, nullable=False),
        sa.Column("updated_by", sa.Uuid, nullable=False),
        moment("updated_at"),
        sa.PrimaryKeyConstraint("id", name="pk_watch_policy"),
        sa.UniqueConstraint(
            "organisation_id",
            "printer_id",
            name="uq_watch_policy_organisation_id_printer_id",
            postgresql_nulls_not_distinct=True,
        ),
        sa.CheckConstraint(
            "frozen IN ('off', 'notify') AND black IN ('off', 'notify') AND no_picture IN ('off', 'notify')"
            " AND failure IN ('off', 'notify', 'pause')",
            name="ck_watch_policy_actions",
        ),
        sa.CheckConstraint(
            "0 <= leave_score AND leave_score <= enter_score AND enter_score <= 1", name="ck_watch_policy_scores"
        ),
        schema=SCHEMA,
    )


def create_sightings() -> None:
    op.create_table(
        "sighting",
        sa.Column("camera_id", sa.Uuid, nullable=False),
        moment("seen_at"),
        sa.PrimaryKeyConstraint("camera_id", name="pk_sighting"),
        sa.ForeignKeyConstraint(["camera_id"], ["camera.camera.id"], name="fk_sighting_camera_id", ondelete="CASCADE"),
        schema=SCHEMA,
    )


def create_decisions() -> None:
    op.create_table(
        "decision",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("organisation_id", sa.Uuid, nullable=False),
        sa.Column("printer_id", sa.Uuid, nullable=False),
        sa.Column("camera_id", sa.Uuid, nullable=False),
        sa.Column("attempt_id", sa.Uuid, nullable=True),
        sa.Column("job_id", sa.Uuid, nullable=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("ordered_by", sa.Uuid, nullable=True),
        sa.Column("outcome", sa.Text, nullable=True),
        sa.Column("value", sa.Float, nullable=False),
        sa.Column("threshold", sa.Float, nullable=False),
        sa.Column("label", sa.Text, nullable=True),
        sa.Column("scores", JSONB, nullable=True),
        sa.Column("model", sa.Text, nullable=True),
        sa.Column("model_version", sa.Text, nullable=True),
        sa.Column("picture", sa.Text, nullable=True),
        moment("captured_at", nullable=True),
        created_at(),
        moment("told_at", nullable=True),
        moment("ended_at", nullable=True),
        sa.Column("end_reason", sa.Text, nullable=True),
        moment("end_told_at", nullable=True),
        sa.Column("verdict", sa.Text, nullable=True),
        sa.Column("verdict_by", sa.Uuid, nullable=True),
        moment("verdict_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_decision"),
        sa.ForeignKeyConstraint(["camera_id"], ["camera.camera.id"], name="fk_decision_camera_id", ondelete="CASCADE"),
        sa.CheckConstraint("kind IN ('frozen', 'black', 'no_picture', 'failure')", name="ck_decision_kind"),
        sa.CheckConstraint("action IN ('notify', 'pause')", name="ck_decision_action"),
        sa.CheckConstraint("verdict IN ('right', 'wrong')", name="ck_decision_verdict"),
        sa.CheckConstraint("action = 'notify' OR attempt_id IS NOT NULL", name="ck_decision_attempt"),
        schema=SCHEMA,
    )
    # Of two replicas that see the same trouble one says so ...
    op.create_index(
        "uq_decision_open",
        "decision",
        ["camera_id", "kind"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL"),
        schema=SCHEMA,
    )
    # ... and a print is paused once: whoever lets it go on has looked at it.
    op.create_index(
        "uq_decision_pause",
        "decision",
        ["attempt_id"],
        unique=True,
        postgresql_where=sa.text("action = 'pause'"),
        schema=SCHEMA,
    )
    op.create_index(
        "ix_decision_untold",
        "decision",
        ["id"],
        postgresql_where=sa.text("told_at IS NULL OR (ended_at IS NOT NULL AND end_told_at IS NULL)"),
        schema=SCHEMA,
    )
    for columns in (["organisation_id", "id"], ["camera_id", "id"], ["attempt_id", "id"], ["created_at"]):
        op.create_index(f"ix_decision_{'_'.join(columns)}", "decision", columns, schema=SCHEMA)
