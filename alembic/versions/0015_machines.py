"""API keys and outside identities

Revision: 0015
Follows: 0014
"""

import sqlalchemy as sa
from alembic import op
from columns import moment
from sqlalchemy.dialects import postgresql

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

SCHEMA = "auth"


def upgrade() -> None:
    create_api_keys()
    create_outside_identities()


def downgrade() -> None:
    op.drop_table("outside_identity", schema=SCHEMA)
    op.drop_table("api_key", schema=SCHEMA)


def create_api_keys() -> None:
    op.create_table(
        "api_key",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("organisation_id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("token_hash", sa.LargeBinary, nullable=False),
        sa.Column("hint", sa.Text, nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text), nullable=False),
        sa.Column("printer_ids", postgresql.ARRAY(sa.Uuid)),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        moment("expires_at", nullable=True),
        moment("last_used_at", nullable=True),
        sa.Column("last_used_address", sa.Text),
        moment("revoked_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_api_key"),
        sa.UniqueConstraint("token_hash", name="uq_api_key_token_hash"),
        sa.CheckConstraint("cardinality(scopes) > 0", name="ck_api_key_scopes"),
        sa.CheckConstraint("cardinality(printer_ids) > 0", name="ck_api_key_printers"),
        sa.ForeignKeyConstraint(
            ["organisation_id"],
            [f"{SCHEMA}.organisation.id"],
            name="fk_api_key_organisation_id",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["user_id"], [f"{SCHEMA}.user.id"], name="fk_api_key_user_id", ondelete="CASCADE"),
        schema=SCHEMA,
    )
    op.create_index("ix_api_key_organisation_id_id", "api_key", ["organisation_id", "id"], schema=SCHEMA)
    op.create_index("ix_api_key_user_id", "api_key", ["user_id"], schema=SCHEMA)


def create_outside_identities() -> None:
    op.create_table(
        "outside_identity",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("issuer", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("newest_issued_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_seen_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_outside_identity"),
        sa.UniqueConstraint("issuer", "subject", name="uq_outside_identity_subject"),
        sa.ForeignKeyConstraint(
            ["user_id"], [f"{SCHEMA}.user.id"], name="fk_outside_identity_user_id", ondelete="CASCADE"
        ),
        schema=SCHEMA,
    )
    op.create_index("ix_outside_identity_user_id", "outside_identity", ["user_id"], schema=SCHEMA)
