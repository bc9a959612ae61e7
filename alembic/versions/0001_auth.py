"""Accounts, sessions, organisations, bridges and security events

Revision: 0001
Follows: nothing
"""

import sqlalchemy as sa
from alembic import op
from columns import created_at, moment
from service_schema import create_schema, drop_schema, make_append_only
from sqlalchemy.dialects.postgresql import JSONB

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMA = "auth"


def upgrade() -> None:
    create_schema(SCHEMA)
    create_accounts()
    create_organisations()
    create_sessions()
    create_bridges()
    create_security_events()


def downgrade() -> None:
    drop_schema(SCHEMA)


def create_accounts() -> None:
    op.create_table(
        "user",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("is_administrator", sa.Boolean, nullable=False),
        created_at(),
        sa.PrimaryKeyConstraint("id", name="pk_user"),
        sa.UniqueConstraint("email", name="uq_user_email"),
        sa.CheckConstraint("email = lower(email)", name="ck_user_email_lower"),
        schema=SCHEMA,
    )
    op.create_table(
        "login_throttle",
        sa.Column("account_key", sa.Text, nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        moment("last_failed_at"),
        moment("locked_until", nullable=True),
        sa.PrimaryKeyConstraint("account_key", name="pk_login_throttle"),
        schema=SCHEMA,
    )
    op.create_index("ix_login_throttle_last_failed_at", "login_throttle", ["last_failed_at"], schema=SCHEMA)


def create_organisations() -> None:
    op.create_table(
        "organisation",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("slug", sa.Text, nullable=False),
        created_at(),
        sa.PrimaryKeyConstraint("id", name="pk_organisation"),
        sa.UniqueConstraint("slug", name="uq_organisation_slug"),
        schema=SCHEMA,
    )
    op.create_table(
        "membership",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("organisation_id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        created_at(),
        sa.PrimaryKeyConstraint("id", name="pk_membership"),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["auth.organisation.id"], name="fk_membership_organisation_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["user_id"], ["auth.user.id"], name="fk_membership_user_id", ondelete="CASCADE"),
        sa.UniqueConstraint("organisation_id", "user_id", name="uq_membership_member"),
        sa.CheckConstraint("role IN ('owner', 'manager', 'editor', 'viewer', 'client')", name="ck_membership_role"),
        schema=SCHEMA,
    )
    op.create_index("ix_membership_organisation_id_id", "membership", ["organisation_id", "id"], schema=SCHEMA)
    op.create_index("ix_membership_user_id", "membership", ["user_id"], schema=SCHEMA)


def create_sessions() -> None:
    op.create_table(
        "session",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("organisation_id", sa.Uuid, nullable=False),
        created_at(),
        moment("expires_at"),
        moment("ended_at", nullable=True),
        sa.Column("end_reason", sa.Text, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_session"),
        sa.ForeignKeyConstraint(["user_id"], ["auth.user.id"], name="fk_session_user_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["auth.organisation.id"], name="fk_session_organisation_id", ondelete="CASCADE"
        ),
        sa.CheckConstraint(
            "end_reason IN ('logged_out', 'token_reused', 'membership_ended')", name="ck_session_end_reason"
        ),
        sa.CheckConstraint("(ended_at IS NULL) = (end_reason IS NULL)", name="ck_session_ended"),
        schema=SCHEMA,
    )
    for column in ("user_id", "organisation_id", "expires_at"):
        op.create_index(f"ix_session_{column}", "session", [column], schema=SCHEMA)
    op.create_table(
        "refresh_token",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("session_id", sa.Uuid, nullable=False),
        sa.Column("token_hash", sa.LargeBinary, nullable=False),
        created_at(),
        moment("expires_at"),
        moment("rotated_at", nullable=True),
        sa.Column("successor_nonce", sa.LargeBinary, nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_refresh_token"),
        sa.ForeignKeyConstraint(
            ["session_id"], ["auth.session.id"], name="fk_refresh_token_session_id", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("token_hash", name="uq_refresh_token_token_hash"),
        schema=SCHEMA,
    )
    op.create_index(
        "uq_refresh_token_current",
        "refresh_token",
        ["session_id"],
        unique=True,
        postgresql_where=sa.text("rotated_at IS NULL"),
        schema=SCHEMA,
    )
    for column in ("session_id", "expires_at"):
        op.create_index(f"ix_refresh_token_{column}", "refresh_token", [column], schema=SCHEMA)


def create_bridges() -> None:
    op.create_table(
        "bridge",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("organisation_id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("token_hash", sa.LargeBinary, nullable=False),
        sa.Column("created_by", sa.Uuid, nullable=False),
        created_at(),
        moment("last_used_at", nullable=True),
        sa.Column("last_used_address", sa.Text, nullable=True),
        moment("revoked_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_bridge"),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["auth.organisation.id"], name="fk_bridge_organisation_id", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("token_hash", name="uq_bridge_token_hash"),
        schema=SCHEMA,
    )
    op.create_index("ix_bridge_organisation_id_id", "bridge", ["organisation_id", "id"], schema=SCHEMA)
    op.create_index(
        "uq_bridge_name",
        "bridge",
        ["organisation_id", sa.text("lower(name)")],
        unique=True,
        postgresql_where=sa.text("revoked_at IS NULL"),
        schema=SCHEMA,
    )


def create_security_events() -> None:
    op.create_table(
        "security_events",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        created_at(),
        sa.Column("address", sa.Text, nullable=True),
        sa.Column("organisation_id", sa.Uuid, nullable=True),
        sa.Column("user_id", sa.Uuid, nullable=True),
        sa.Column("session_id", sa.Uuid, nullable=True),
        sa.Column("bridge_id", sa.Uuid, nullable=True),
        sa.Column("data", JSONB, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_security_events"),
        schema=SCHEMA,
    )
    for column in ("organisation_id", "user_id"):
        op.create_index(f"ix_security_events_{column}_id", "security_events", [column, "id"], schema=SCHEMA)
    make_append_only(SCHEMA, "security_events")
