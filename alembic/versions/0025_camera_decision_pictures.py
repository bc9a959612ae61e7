"""A print is paused once by what was really ordered; how much the pictures of decisions take

Revision: 0025
Follows: 0024
"""

import sqlalchemy as sa
from alembic import op
from concurrently import concurrently, drop_index, make_index

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

SCHEMA, TABLE = "camera", "decision"
PAUSE = "action = 'pause'"
ORDERED = f"{PAUSE} AND (outcome IS NULL OR outcome IN ('pause_ordered', 'not_printing'))"
#: Nobody wrote down how large a picture was: as large as most are.
USUAL_BYTES = 50_000


def upgrade() -> None:
    size = sa.Column("picture_bytes", sa.Integer, nullable=False, server_default="0")
    op.add_column(TABLE, size, schema=SCHEMA, if_not_exists=True)  # whoever is interrupted can begin again
    decision = sa.table(
        TABLE, sa.column("picture"), sa.column("picture_bytes"), sa.column("outcome"), sa.column("ended_at"),
        sa.column("end_reason"), schema=SCHEMA,
    )  # fmt: skip
    op.execute(decision.update().where(decision.c.picture.is_not(None)).values(picture_bytes=USUAL_BYTES))
    too_late = decision.update().where(decision.c.outcome == "too_late", decision.c.ended_at.is_(None))
    op.execute(too_late.values(ended_at=sa.func.now(), end_reason="too_late"))
    with concurrently():
        columns = ["organisation_id", "id"]
        where = "picture IS NOT NULL"
        make_index("ix_decision_picture", TABLE, columns, schema=SCHEMA, where=where, include=["picture_bytes"])
        make_index("uq_decision_pause_ordered", TABLE, ["attempt_id"], schema=SCHEMA, where=ORDERED, unique=True)
        drop_index("uq_decision_pause", TABLE, schema=SCHEMA)


def downgrade() -> None:
    # What was decided again after a pause that was not ordered counts as notified: there is one pause of each print.
    op.execute(
        "UPDATE camera.decision SET action = 'notify', ordered_by = NULL "
        "WHERE action = 'pause' AND outcome NOT IN ('pause_ordered', 'not_printing')"
    )
    with concurrently():
        make_index("uq_decision_pause", TABLE, ["attempt_id"], schema=SCHEMA, where=PAUSE, unique=True)
        drop_index("uq_decision_pause_ordered", TABLE, schema=SCHEMA)
        drop_index("ix_decision_picture", TABLE, schema=SCHEMA)
    op.drop_column(TABLE, "picture_bytes", schema=SCHEMA, if_exists=True)
