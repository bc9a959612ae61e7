"""Pairing of bridges by a code, tokens that are used twice, and signing keys that are kept here

Revision: 0016
Follows: 0015
"""

import sqlalchemy as sa
from alembic import op
from columns import created_at, moment

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

SCHEMA = "auth"


def upgrade() -> None:
    change_bridges()
    create_pairings()
    create_signing_keys()


def downgrade() -> None:
    op.drop_table("signing_key", schema=SCHEMA)
    op.drop_table("bridge_pairing", schema=SCHEMA)
    op.drop_table("bridge_instance", schema=SCHEMA)
    # The version before has no bridges without a token: these never had one.
    op.execute("DELETE FROM auth.bridge WHERE token_hash IS NULL")
    op.alter_column("bridge", "token_hash", nullable=False, schema=SCHEMA)
    op.drop_column("bridge", "used_twice_at", schema=SCHEMA)
    op.drop_column("bridge", "instance", schema=SCHEMA)


def change_bridges() -> None:
    op.add_column("bridge", sa.Column("instance", sa.Text), schema=SCHEMA)
    op.add_column("bridge", moment("used_twice_at", nullable=True), schema=SCHEMA)
    op.alter_column("bridge", "token_hash", nullable=True, schema=SCHEMA)
    op.create_table(
        "bridge_instance",
        sa.Column("bridge_id", sa.Uuid, nullable=False),
        sa.Column("instance", sa.Text, nullable=False),
        moment("last_used_at"),
        sa.PrimaryKeyConstraint("bridge_id", "instance", name="pk_bridge_instance"),
        sa.ForeignKeyConstraint(
            ["bridge_id"], ["auth.bridge.id"], name="fk_bridge_instance_bridge_id", ondelete="CASCADE"
        ),
        schema=SCHEMA,
    )


def create_pairings() -> None:
    op.create_table(
        "bridge_pairing",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("device_hash", sa.LargeBinary, nullable=False),
        sa.Column("user_code", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        created_at(),
        moment("expires_at"),
        sa.Column("address", sa.Text, nullable=False),
        sa.Column("agent", sa.Text, nullable=False),
        sa.Column("interval_s", sa.Integer, nullable=False),
        moment("polled_at", nullable=True),
        sa.Column("organisation_id", sa.Uuid, nullable=True),
        sa.Column("bridge_id", sa.Uuid, nullable=True),
        sa.Column("token_nonce", sa.LargeBinary, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_bridge_pairing"),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["auth.organisation.id"], name="fk_bridge_pairing_organisation_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["bridge_id"], ["auth.bridge.id"], name="fk_bridge_pairing_bridge_id", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("device_hash", name="uq_bridge_pairing_device_hash"),
        sa.UniqueConstraint("user_code", name="uq_bridge_pairing_user_code"),
        sa.CheckConstraint("state IN ('pending', 'approved', 'denied', 'connected')", name="ck_bridge_pairing_state"),
        sa.CheckConstraint(
            "(state IN ('approved', 'connected')) = (bridge_id IS NOT NULL)", name="ck_bridge_pairing_bridge"
        ),
        sa.CheckConstraint("(state = 'connected') = (token_nonce IS NOT NULL)", name="ck_bridge_pairing_nonce"),
        schema=SCHEMA,
    )
    for column in ("organisation_id", "bridge_id", "expires_at"):
        op.create_index(f"ix_bridge_pairing_{column}", "bridge_pairing", [column], schema=SCHEMA)


def create_signing_keys() -> None:
    op.create_table(
        "signing_key",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("kid", sa.Text, nullable=False),
        sa.Column("private_key", sa.LargeBinary, nullable=False),
        created_at(),
        moment("signs_from"),
        moment("published_until", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_signing_key"),
        sa.UniqueConstraint("kid", name="uq_signing_key_kid"),
        schema=SCHEMA,
    )
