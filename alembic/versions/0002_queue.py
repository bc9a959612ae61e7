"""Files, printers, jobs, attempts, commands, events and idempotency keys

Revision: 0002
Follows: 0001
"""

import sqlalchemy as sa
from alembic import op
from columns import moment
from service_schema import create_schema, drop_schema
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

SCHEMA = "queue"


def created_at(name: str = "created_at") -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False)


def upgrade() -> None:
    create_schema(SCHEMA)
    op.execute(sa.schema.CreateSequence(sa.Sequence("fence", schema=SCHEMA)))
    create_files()
    create_printers()
    create_jobs()
    create_attempts()
    create_commands()
    create_events()
    create_idempotency_keys()


def downgrade() -> None:
    drop_schema(SCHEMA)


def create_files() -> None:
    op.create_table(
        "blob",
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        created_at(),
        sa.CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="ck_blob_sha256"),
        sa.PrimaryKeyConstraint("sha256", name="pk_blob"),
        schema=SCHEMA,
    )
    op.create_table(
        "file",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("organisation_id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("extension", sa.Text, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("slicing", JSONB, nullable=False),
        sa.Column("uploaded_by", sa.Uuid, nullable=False),
        created_at(),
        moment("deleted_at", nullable=True),
        sa.ForeignKeyConstraint(["sha256"], ["queue.blob.sha256"], name="fk_file_sha256"),
        sa.PrimaryKeyConstraint("id", name="pk_file"),
        schema=SCHEMA,
    )
    op.create_index("ix_file_organisation_id_id", "file", ["organisation_id", "id"], schema=SCHEMA)
    op.create_index("ix_file_sha256", "file", ["sha256"], schema=SCHEMA)
    op.create_table(
        "thumbnail",
        sa.Column("file_id", sa.Uuid, nullable=False),
        sa.Column("width_px", sa.Integer, nullable=False),
        sa.Column("height_px", sa.Integer, nullable=False),
        sa.Column("media_type", sa.Text, nullable=False),
        sa.Column("content", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(["file_id"], ["queue.file.id"], name="fk_thumbnail_file_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("file_id", "width_px", "height_px", name="pk_thumbnail"),
        schema=SCHEMA,
    )


def create_printers() -> None:
    op.create_table(
        "printer",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("organisation_id", sa.Uuid, nullable=False),
        sa.Column("bridge_id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=True),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("version", sa.Integer, server_default="1", nullable=False),
        sa.Column("bed_state", sa.Text, nullable=False),
        sa.Column("bed_attempt_id", sa.Uuid, nullable=True),
        created_at("bed_changed_at"),
        sa.Column("connection", sa.Text, server_default="offline", nullable=False),
        sa.Column("telemetry", JSONB, nullable=True),
        moment("last_seen_at", nullable=True),
        created_at(),
        moment("deleted_at", nullable=True),
        sa.CheckConstraint("bed_state IN ('clear', 'occupied')", name="ck_printer_bed_state"),
        sa.CheckConstraint(
            "connection IN ('online', 'printer_offline', 'octoprint_offline', 'offline')", name="ck_printer_connection"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_printer"),
        schema=SCHEMA,
    )
    op.create_index("ix_printer_bridge_id", "printer", ["bridge_id"], schema=SCHEMA)
    op.create_index("ix_printer_organisation_id_id", "printer", ["organisation_id", "id"], schema=SCHEMA)
    op.create_index(
        "uq_printer_name",
        "printer",
        ["organisation_id", sa.text("lower(name)")],
        unique=True,
        schema=SCHEMA,
        postgresql_where=sa.text("deleted_at IS NULL"),
    )


def create_jobs() -> None:
    op.create_table(
        "job",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("organisation_id", sa.Uuid, nullable=False),
        sa.Column("file_id", sa.Uuid, nullable=False),
        sa.Column("printer_id", sa.Uuid, nullable=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("priority", sa.SmallInteger, nullable=False),
        sa.Column("copies", sa.Integer, nullable=False),
        sa.Column("copies_open", sa.Integer, nullable=False),
        sa.Column("copies_completed", sa.Integer, server_default="0", nullable=False),
        sa.Column("releases", sa.Integer, server_default="0", nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=True),
        sa.Column("detail", sa.Text, nullable=True),
        sa.Column("created_by", sa.Uuid, nullable=False),
        created_at(),
        moment("cancel_requested_at", nullable=True),
        moment("failed_at", nullable=True),
        moment("ended_at", nullable=True),
        sa.CheckConstraint(
            "state IN ('queued', 'active', 'cancelling', 'unknown', 'completed', 'failed', 'cancelled')",
            name="ck_job_state",
        ),
        sa.CheckConstraint("copies BETWEEN 1 AND 1000", name="ck_job_copies"),
        sa.CheckConstraint("copies_open + copies_completed <= copies", name="ck_job_copies_sum"),
        sa.CheckConstraint("copies_open >= 0 AND copies_completed >= 0", name="ck_job_copies_open"),
        sa.CheckConstraint("priority BETWEEN 0 AND 100", name="ck_job_priority"),
        sa.ForeignKeyConstraint(["file_id"], ["queue.file.id"], name="fk_job_file_id"),
        sa.ForeignKeyConstraint(["printer_id"], ["queue.printer.id"], name="fk_job_printer_id"),
        sa.PrimaryKeyConstraint("id", name="pk_job"),
        schema=SCHEMA,
    )
    op.create_index(
        "ix_job_claimable",
        "job",
        ["organisation_id", sa.text("priority DESC"), "id"],
        schema=SCHEMA,
        postgresql_where=sa.text("state IN ('active', 'queued') AND copies_open > 0"),
    )
    op.create_index("ix_job_file_id", "job", ["file_id"], schema=SCHEMA)
    op.create_index("ix_job_organisation_id_id", "job", ["organisation_id", "id"], schema=SCHEMA)


def create_attempts() -> None:
    op.create_table(
        "attempt",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("organisation_id", sa.Uuid, nullable=False),
        sa.Column("job_id", sa.Uuid, nullable=False),
        sa.Column("printer_id", sa.Uuid, nullable=False),
        sa.Column("bridge_id", sa.Uuid, nullable=False),
        sa.Column("journal_id", sa.Uuid, nullable=False),
        sa.Column("copy_number", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("fence", sa.BigInteger, server_default=sa.text("nextval('queue.fence')"), nullable=False),
        moment("lease_expires_at"),
        sa.Column("reason", sa.Text, nullable=True),
        sa.Column("detail", sa.Text, nullable=True),
        sa.Column("evidence", JSONB, nullable=True),
        created_at(),
        moment("permitted_at", nullable=True),
        moment("started_at", nullable=True),
        moment("ended_at", nullable=True),
        sa.Column("resolved_by", sa.Uuid, nullable=True),
        sa.CheckConstraint(
            "state IN ('claimed', 'starting', 'printing', 'paused', 'unknown',"
            " 'released', 'completed', 'failed', 'cancelled')",
            name="ck_attempt_state",
        ),
        sa.ForeignKeyConstraint(["job_id"], ["queue.job.id"], name="fk_attempt_job_id"),
        sa.ForeignKeyConstraint(["printer_id"], ["queue.printer.id"], name="fk_attempt_printer_id"),
        sa.PrimaryKeyConstraint("id", name="pk_attempt"),
        schema=SCHEMA,
    )
    op.create_index("ix_attempt_job_id_id", "attempt", ["job_id", "id"], schema=SCHEMA)
    op.create_index(
        "ix_attempt_leased",
        "attempt",
        ["lease_expires_at"],
        schema=SCHEMA,
        postgresql_where=sa.text("state = 'claimed'"),
    )
    op.create_index("ix_attempt_organisation_id_id", "attempt", ["organisation_id", "id"], schema=SCHEMA)
    op.create_index(
        "uq_attempt_copy",
        "attempt",
        ["job_id", "copy_number"],
        unique=True,
        schema=SCHEMA,
        postgresql_where=sa.text("state IN ('claimed', 'completed', 'paused', 'printing', 'starting', 'unknown')"),
    )
    op.create_index(
        "uq_attempt_live_printer",
        "attempt",
        ["printer_id"],
        unique=True,
        schema=SCHEMA,
        postgresql_where=sa.text("state IN ('claimed', 'paused', 'printing', 'starting', 'unknown')"),
    )
    op.create_table(
        "attempt_report",
        sa.Column("attempt_id", sa.Uuid, nullable=False),
        sa.Column("report_id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        created_at("accepted_at"),
        sa.CheckConstraint(
            "kind IN ('started', 'paused', 'resumed', 'completed', 'failed', 'cancelled', 'unknown', 'released')",
            name="ck_attempt_report_kind",
        ),
        sa.ForeignKeyConstraint(["attempt_id"], ["queue.attempt.id"], name="fk_attempt_report_attempt_id"),
        sa.PrimaryKeyConstraint("attempt_id", "report_id", name="pk_attempt_report"),
        schema=SCHEMA,
    )


def create_commands() -> None:
    op.create_table(
        "command",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("organisation_id", sa.Uuid, nullable=False),
        sa.Column("printer_id", sa.Uuid, nullable=False),
        sa.Column("attempt_id", sa.Uuid, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("detail", sa.Text, nullable=True),
        sa.Column("created_by", sa.Uuid, nullable=False),
        created_at(),
        moment("deadline_at"),
        moment("ended_at", nullable=True),
        sa.CheckConstraint("kind IN ('cancel', 'pause', 'resume')", name="ck_command_kind"),
        sa.CheckConstraint("state IN ('pending', 'succeeded', 'failed', 'expired')", name="ck_command_state"),
        sa.ForeignKeyConstraint(["attempt_id"], ["queue.attempt.id"], name="fk_command_attempt_id"),
        sa.ForeignKeyConstraint(["printer_id"], ["queue.printer.id"], name="fk_command_printer_id"),
        sa.PrimaryKeyConstraint("id", name="pk_command"),
        schema=SCHEMA,
    )
    op.create_index("ix_command_organisation_id_id", "command", ["organisation_id", "id"], schema=SCHEMA)
    op.create_index(
        "ix_command_pending_printer",
        "command",
        ["printer_id", "id"],
        schema=SCHEMA,
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "uq_command_pending",
        "command",
        ["attempt_id", "kind"],
        unique=True,
        schema=SCHEMA,
        postgresql_where=sa.text("state = 'pending'"),
    )


def create_events() -> None:
    op.create_table(
        "event",
        sa.Column("sequence", sa.BigInteger, sa.Identity(always=True), nullable=False),
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("organisation_id", sa.Uuid, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("printer_id", sa.Uuid, nullable=True),
        sa.Column("data", JSONB, nullable=False),
        created_at(),
        sa.PrimaryKeyConstraint("sequence", name="pk_event"),
        schema=SCHEMA,
    )
    op.create_index("ix_event_organisation_id_sequence", "event", ["organisation_id", "sequence"], schema=SCHEMA)


def create_idempotency_keys() -> None:
    op.create_table(
        "idempotency_key",
        sa.Column("subject_id", sa.Uuid, nullable=False),
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("body_sha256", sa.Text, nullable=False),
        sa.Column("answer", JSONB, nullable=False),
        created_at(),
        sa.PrimaryKeyConstraint("subject_id", "operation", "key", name="pk_idempotency_key"),
        schema=SCHEMA,
    )
    op.create_index("ix_idempotency_key_created_at", "idempotency_key", ["created_at"], schema=SCHEMA)
