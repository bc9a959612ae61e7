"""One-time links, the outbox, and devices that are trusted

Revision: 0012
Follows: 0011
"""

import sqlalchemy as sa
from alembic import op
from columns import created_at, moment
from sqlalchemy.dialects.postgresql import JSONB

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

SCHEMA = "auth"
KINDS = ("registration", "verify_email", "password_reset", "email_change_old", "email_change_new")


def upgrade() -> None:
    create_mail()
    create_links()
    create_devices()
    # The version before counts by address alone; what it counts has no account and is forgotten within the hour.
    op.add_column("login_throttle", sa.Column("account", sa.Text), schema=SCHEMA)
    op.add_column("login_throttle", moment("began_at", nullable=True), schema=SCHEMA)
    op.create_index("ix_login_throttle_account", "login_throttle", ["account"], schema=SCHEMA)


def downgrade() -> None:
    op.drop_index("ix_login_throttle_account", "login_throttle", schema=SCHEMA)
    op.drop_column("login_throttle", "began_at", schema=SCHEMA)
    op.drop_column("login_throttle", "account", schema=SCHEMA)
    for table in ("trusted_device", "one_time_link", "mail"):
        op.drop_table(table, schema=SCHEMA)


def create_mail() -> None:
    op.create_table(
        "mail",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("template", sa.Text, nullable=False),
        sa.Column("recipient", sa.Text),
        sa.Column("content", sa.LargeBinary),
        created_at(),
        sa.Column("tries", sa.Integer, nullable=False),
        moment("next_try_at"),
        moment("give_up_at"),
        moment("sent_at", nullable=True),
        moment("failed_at", nullable=True),
        sa.Column("error", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_mail"),
        sa.CheckConstraint("sent_at IS NULL OR failed_at IS NULL", name="ck_mail_ended_once"),
        sa.CheckConstraint(
            "(content IS NULL) = (sent_at IS NOT NULL OR failed_at IS NOT NULL)", name="ck_mail_content"
        ),
        schema=SCHEMA,
    )
    op.create_index(
        "ix_mail_next_try_at",
        "mail",
        ["next_try_at"],
        postgresql_where=sa.text("sent_at IS NULL AND failed_at IS NULL"),
        schema=SCHEMA,
    )
    op.create_index("ix_mail_created_at", "mail", ["created_at"], schema=SCHEMA)


def create_links() -> None:
    op.create_table(
        "one_time_link",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("user_id", sa.Uuid),
        sa.Column("token_hash", sa.LargeBinary, nullable=False),
        sa.Column("data", JSONB, nullable=False),
        created_at(),
        moment("expires_at"),
        moment("used_at", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_one_time_link"),
        sa.ForeignKeyConstraint(["user_id"], ["auth.user.id"], name="fk_one_time_link_user_id", ondelete="CASCADE"),
        sa.UniqueConstraint("token_hash", name="uq_one_time_link_token_hash"),
        sa.CheckConstraint("kind IN ({})".format(", ".join(map(repr, KINDS))), name="ck_one_time_link_kind"),
        schema=SCHEMA,
    )
    op.create_index(
        "uq_one_time_link_open",
        "one_time_link",
        ["kind", "subject"],
        unique=True,
        postgresql_where=sa.text("used_at IS NULL"),
        schema=SCHEMA,
    )
    for column in ("user_id", "expires_at"):
        op.create_index(f"ix_one_time_link_{column}", "one_time_link", [column], schema=SCHEMA)


def create_devices() -> None:
    op.create_table(
        "trusted_device",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("token_hash", sa.LargeBinary, nullable=False),
        sa.Column("network", sa.Text, nullable=False),
        created_at(),
        moment("last_used_at"),
        moment("expires_at"),
        sa.PrimaryKeyConstraint("id", name="pk_trusted_device"),
        sa.ForeignKeyConstraint(["user_id"], ["auth.user.id"], name="fk_trusted_device_user_id", ondelete="CASCADE"),
        sa.UniqueConstraint("token_hash", name="uq_trusted_device_token_hash"),
        schema=SCHEMA,
    )
    for column in ("user_id", "expires_at"):
        op.create_index(f"ix_trusted_device_{column}", "trusted_device", [column], schema=SCHEMA)
