"""Who did what and whether it worked; devices of sessions; verified and disabled accounts

Revision: 0010
Follows: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

SCHEMA = "auth"
OLD_REASONS = ("logged_out", "token_reused", "membership_ended")
REASONS = (*OLD_REASONS, "ended_elsewhere", "password_changed", "email_changed", "second_factor_reset",
           "account_disabled", "fingerprint_changed")  # fmt: skip


def upgrade() -> None:
    change_users()
    change_sessions()
    change_security_events()


def downgrade() -> None:
    op.execute("DROP FUNCTION auth.delete_old_security_events(interval, integer)")
    op.drop_constraint("ck_security_events_outcome", "security_events", schema=SCHEMA)
    for column in ("outcome", "reason", "agent", "actor_id"):
        op.drop_column("security_events", column, schema=SCHEMA)
    op.drop_constraint("ck_session_end_reason", "session", schema=SCHEMA)
    # The version before knows fewer reasons, and asks none of them for more than that a session has ended.
    session = sa.table("session", sa.column("end_reason", sa.Text), schema=SCHEMA)
    op.execute(session.update().where(session.c.end_reason.not_in(OLD_REASONS)).values(end_reason="logged_out"))
    op.create_check_constraint("ck_session_end_reason", "session", _one_of(OLD_REASONS), schema=SCHEMA)
    for column in ("authenticated_at", "second_factor", "last_used_at", "address", "device", "fingerprint", "via"):
        op.drop_column("session", column, schema=SCHEMA)
    # Nobody signs in with what is no hash: whoever has no password gets one by an administrator.
    op.execute("UPDATE auth.user SET password_hash = '' WHERE password_hash IS NULL")
    op.alter_column("user", "password_hash", nullable=False, schema=SCHEMA)
    op.drop_column("user", "email_verified_at", schema=SCHEMA)
    op.drop_column("user", "disabled_at", schema=SCHEMA)


def change_users() -> None:
    op.add_column("user", sa.Column("email_verified_at", sa.DateTime(timezone=True)), schema=SCHEMA)
    op.add_column("user", sa.Column("disabled_at", sa.DateTime(timezone=True)), schema=SCHEMA)
    op.alter_column("user", "password_hash", nullable=True, schema=SCHEMA)
    # Whoever is in was let in under rules that asked for no proof.
    op.execute("UPDATE auth.user SET email_verified_at = created_at")


def change_sessions() -> None:
    now = sa.func.now()
    for column in (
        sa.Column("authenticated_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("second_factor", sa.Boolean, server_default=sa.false(), nullable=False),
        sa.Column("last_used_at", sa.DateTime(timezone=True), server_default=now, nullable=False),
        sa.Column("address", sa.Text),
        sa.Column("device", sa.Text),
        sa.Column("fingerprint", sa.LargeBinary),
        sa.Column("via", sa.Text, server_default="session", nullable=False),
    ):
        op.add_column("session", column, schema=SCHEMA)
    op.execute("UPDATE auth.session SET authenticated_at = created_at, last_used_at = created_at")
    op.drop_constraint("ck_session_end_reason", "session", schema=SCHEMA)
    op.create_check_constraint("ck_session_end_reason", "session", _one_of(REASONS), schema=SCHEMA)


def change_security_events() -> None:
    op.add_column(
        "security_events", sa.Column("outcome", sa.Text, server_default="success", nullable=False), schema=SCHEMA
    )
    op.add_column("security_events", sa.Column("reason", sa.Text), schema=SCHEMA)
    op.add_column("security_events", sa.Column("agent", sa.Text), schema=SCHEMA)
    op.add_column("security_events", sa.Column("actor_id", sa.Uuid), schema=SCHEMA)
    op.create_check_constraint(
        "ck_security_events_outcome", "security_events", "outcome IN ('success', 'failure')", schema=SCHEMA
    )
    # The service may not delete an event. It may ask for old ones to go: never ones younger than a month.
    op.execute("""
        CREATE FUNCTION auth.delete_old_security_events(kept interval, at_most integer) RETURNS integer
        LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$
            WITH old AS (
                SELECT id FROM auth.security_events
                WHERE created_at < now() - greatest(kept, interval '30 days')
                ORDER BY id LIMIT at_most
            ), gone AS (
                DELETE FROM auth.security_events USING old WHERE security_events.id = old.id RETURNING 1
            )
            SELECT count(*)::integer FROM gone
        $$
    """)
    op.execute("REVOKE ALL ON FUNCTION auth.delete_old_security_events(interval, integer) FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION auth.delete_old_security_events(interval, integer) TO fluxprint_auth")


def _one_of(reasons: tuple[str, ...]) -> str:
    return "end_reason IN ({})".format(", ".join(map(repr, reasons)))
