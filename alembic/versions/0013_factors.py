"""Second factors and identities at providers

Revision: 0013
Follows: 0012
"""

import sqlalchemy as sa
from alembic import op
from columns import created_at, moment

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

SCHEMA = "auth"


def upgrade() -> None:
    create_factors()
    create_challenges()
    create_identities()
    create_flows()


def downgrade() -> None:
    for table in ("provider_flow", "identity", "sign_in_challenge", "recovery_code", "second_factor"):
        op.drop_table(table, schema=SCHEMA)


def create_factors() -> None:
    op.create_table(
        "second_factor",
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("secret", sa.LargeBinary, nullable=False),
        created_at(),
        moment("confirmed_at", nullable=True),
        sa.Column("last_used_step", sa.BigInteger, nullable=True),
        sa.Column("failures", sa.Integer, server_default="0", nullable=False),
        moment("last_failed_at", nullable=True),
        moment("locked_until", nullable=True),
        sa.PrimaryKeyConstraint("user_id", name="pk_second_factor"),
        sa.ForeignKeyConstraint(["user_id"], ["auth.user.id"], name="fk_second_factor_user_id", ondelete="CASCADE"),
        schema=SCHEMA,
    )
    op.create_table(
        "recovery_code",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("code_hash", sa.LargeBinary, nullable=False),
        moment("used_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_recovery_code"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["auth.second_factor.user_id"], name="fk_recovery_code_user_id", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("user_id", "code_hash", name="uq_recovery_code_code"),
        schema=SCHEMA,
    )


def create_challenges() -> None:
    op.create_table(
        "sign_in_challenge",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("token_hash", sa.LargeBinary, nullable=False),
        moment("expires_at"),
        sa.Column("tries", sa.Integer, server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sign_in_challenge"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["auth.second_factor.user_id"], name="fk_sign_in_challenge_user_id", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("token_hash", name="uq_sign_in_challenge_token_hash"),
        schema=SCHEMA,
    )
    op.create_index("ix_sign_in_challenge_user_id", "sign_in_challenge", ["user_id"], schema=SCHEMA)
    op.create_index("ix_sign_in_challenge_expires_at", "sign_in_challenge", ["expires_at"], schema=SCHEMA)


def create_identities() -> None:
    op.create_table(
        "identity",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("email", sa.Text, nullable=True),
        created_at(),
        moment("last_used_at", nullable=True),
        sa.Column("tokens", sa.LargeBinary, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_identity"),
        sa.ForeignKeyConstraint(["user_id"], ["auth.user.id"], name="fk_identity_user_id", ondelete="CASCADE"),
        sa.UniqueConstraint("provider", "subject", name="uq_identity_subject"),
        schema=SCHEMA,
    )
    op.create_index("ix_identity_user_id_id", "identity", ["user_id", "id"], schema=SCHEMA)


def create_flows() -> None:
    op.create_table(
        "provider_flow",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("key_hash", sa.LargeBinary, nullable=False),
        sa.Column("browser_hash", sa.LargeBinary, nullable=True),
        sa.Column("session_id", sa.Uuid, nullable=True),
        sa.Column("return_to", sa.Text, nullable=False),
        sa.Column("code_challenge", sa.Text, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=True),
        moment("expires_at"),
        sa.PrimaryKeyConstraint("id", name="pk_provider_flow"),
        sa.ForeignKeyConstraint(
            ["session_id"], ["auth.session.id"], name="fk_provider_flow_session_id", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("key_hash", name="uq_provider_flow_key_hash"),
        sa.CheckConstraint("stage IN ('ticket', 'away', 'answering', 'answered')", name="ck_provider_flow_stage"),
        schema=SCHEMA,
    )
    op.create_index("ix_provider_flow_session_id", "provider_flow", ["session_id"], schema=SCHEMA)
    op.create_index("ix_provider_flow_expires_at", "provider_flow", ["expires_at"], schema=SCHEMA)
