"""Revocations that every service learns of

Revision: 0011
Follows: 0010
"""

import sqlalchemy as sa
from alembic import op
from concurrently import concurrently, drop_index, make_index

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

SCHEMA = "auth"

#: Name, table, columns.
PARENT = ("uq_refresh_token_parent", "refresh_token", ["session_id"])


def upgrade() -> None:
    # First, for it commits: whoever is interrupted can begin again.
    with concurrently():
        make_index(*PARENT, schema=SCHEMA, where="successor_nonce IS NOT NULL", unique=True)
    now = sa.func.now()
    op.create_table(
        "revocation",
        # Counted by the database: services ask for what came after the last one that they saw.
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("sid", sa.Uuid, nullable=False),
        sa.Column("made_before", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_revocation"),
        schema=SCHEMA,
    )
    op.create_index("ix_revocation_sid", "revocation", ["sid"], schema=SCHEMA)
    op.create_index("ix_revocation_expires_at", "revocation", ["expires_at"], schema=SCHEMA)


def downgrade() -> None:
    with concurrently():
        drop_index(*PARENT[:2], schema=SCHEMA)
    op.drop_table("revocation", schema=SCHEMA)
