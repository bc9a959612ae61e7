"""Invitations, owners that can't vanish, and security events that are found quickly

Revision: 0014
Follows: 0013
"""

import sqlalchemy as sa
from alembic import op
from concurrently import concurrently, drop_index, make_index

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

SCHEMA = "auth"

#: What the lists of security events are asked for, newest first; `created_at` is for what is too old.
INDEXES = (
    ("ix_security_events_actor_id_id", ["actor_id", "id"], None),
    ("ix_security_events_organisation_id_type_id", ["organisation_id", "type", "id"], None),
    ("ix_security_events_type_id", ["type", "id"], None),
    ("ix_security_events_failure", ["organisation_id", "id"], "outcome = 'failure'"),
    ("ix_security_events_created_at", ["created_at"], None),
)


def upgrade() -> None:
    # First, for it commits: whoever is interrupted can begin again.
    with concurrently():
        for name, columns, condition in INDEXES:
            make_index(name, "security_events", columns, schema=SCHEMA, where=condition)
    create_invitations()
    guard_owners()
    # A service says which migrations were done.
    op.execute("GRANT SELECT ON public.alembic_version TO fluxprint_auth")


def downgrade() -> None:
    with concurrently():
        for name, _columns, _condition in INDEXES:
            drop_index(name, "security_events", schema=SCHEMA)
    op.execute("REVOKE SELECT ON public.alembic_version FROM fluxprint_auth")
    op.execute("DROP TRIGGER organisation_keeps_an_owner ON auth.membership")
    op.execute("DROP FUNCTION auth.keep_an_owner()")
    op.drop_table("invitation", schema=SCHEMA)


def create_invitations() -> None:
    moment = sa.DateTime(timezone=True)
    op.create_table(
        "invitation",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("organisation_id", sa.Uuid, nullable=False),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("token_hash", sa.LargeBinary, nullable=False),
        sa.Column("invited_by", sa.Uuid, nullable=False),
        sa.Column("created_at", moment, server_default=sa.func.now(), nullable=False),
        sa.Column("expires_at", moment, nullable=False),
        sa.Column("accepted_at", moment),
        sa.Column("revoked_at", moment),
        sa.PrimaryKeyConstraint("id", name="pk_invitation"),
        sa.ForeignKeyConstraint(
            ["organisation_id"], ["auth.organisation.id"], name="fk_invitation_organisation_id", ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["invited_by"], ["auth.user.id"], name="fk_invitation_invited_by", ondelete="CASCADE"),
        sa.UniqueConstraint("token_hash", name="uq_invitation_token_hash"),
        sa.CheckConstraint("role IN ('manager', 'editor', 'viewer', 'client')", name="ck_invitation_role"),
        sa.CheckConstraint("email = lower(email)", name="ck_invitation_email_lower"),
        sa.CheckConstraint("accepted_at IS NULL OR revoked_at IS NULL", name="ck_invitation_one_end"),
        schema=SCHEMA,
    )
    op.create_index(
        "uq_invitation_open",
        "invitation",
        ["organisation_id", "email"],
        unique=True,
        postgresql_where=sa.text("accepted_at IS NULL AND revoked_at IS NULL"),
        schema=SCHEMA,
    )
    op.create_index("ix_invitation_organisation_id_id", "invitation", ["organisation_id", "id"], schema=SCHEMA)
    op.create_index("ix_invitation_invited_by", "invitation", ["invited_by"], schema=SCHEMA)
    op.create_index("ix_invitation_expires_at", "invitation", ["expires_at"], schema=SCHEMA)


def guard_owners() -> None:
    """Whatever removes or demotes an owner: at the commit the organisation has another one, or is gone itself.

    The function locks the organisation before it counts: of two that remove the last two owners, the second sees what
    the first did.
    """
    op.execute("""
        CREATE FUNCTION auth.keep_an_owner() RETURNS trigger
        LANGUAGE plpgsql SET search_path = pg_catalog AS $$
        BEGIN
            PERFORM 1 FROM auth.organisation WHERE id = OLD.organisation_id FOR NO KEY UPDATE;
            IF FOUND AND NOT EXISTS (
                SELECT 1 FROM auth.membership WHERE organisation_id = OLD.organisation_id AND role = 'owner'
            ) THEN
                RAISE EXCEPTION 'organisation % would have no owner', OLD.organisation_id
                    USING ERRCODE = 'check_violation', CONSTRAINT = 'organisation_keeps_an_owner';
            END IF;
            RETURN NULL;
        END
        $$
    """)
    op.execute("""
        CREATE CONSTRAINT TRIGGER organisation_keeps_an_owner AFTER UPDATE OF role OR DELETE ON auth.membership
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (OLD.role = 'owner') EXECUTE FUNCTION auth.keep_an_owner()
    """)
