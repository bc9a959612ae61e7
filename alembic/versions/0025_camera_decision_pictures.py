"""A print is paused once by what was really ordered; how much the pictures of decisions take

Revision: 0025
Follows: 0024
"""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

SCHEMA = "camera"
ORDERED = "action = 'pause' AND (outcome IS NULL OR outcome IN ('pause_ordered', 'not_printing'))"


def upgrade() -> None:
    _pause_once_where(ORDERED)
    size = sa.Column("picture_bytes", sa.Integer, nullable=False, server_default="0")
    op.add_column("decision", size, schema=SCHEMA)
    op.create_index(
        "ix_decision_picture",
        "decision",
        ["organisation_id", "id"],
        postgresql_include=["picture_bytes"],
        postgresql_where=sa.text("picture IS NOT NULL"),
        schema=SCHEMA,
    )


def downgrade() -> None:
    op.drop_index("ix_decision_picture", "decision", schema=SCHEMA)
    op.drop_column("decision", "picture_bytes", schema=SCHEMA)
    # What was decided again after a pause that was not ordered counts as notified: there is one pause of each print.
    op.execute(
        "UPDATE camera.decision SET action = 'notify', ordered_by = NULL "
        "WHERE action = 'pause' AND outcome NOT IN ('pause_ordered', 'not_printing')"
    )
    _pause_once_where("action = 'pause'")


def _pause_once_where(condition: str) -> None:
    op.drop_index("uq_decision_pause", "decision", schema=SCHEMA)
    op.create_index(
        "uq_decision_pause",
        "decision",
        ["attempt_id"],
        unique=True,
        postgresql_where=sa.text(condition),
        schema=SCHEMA,
    )
