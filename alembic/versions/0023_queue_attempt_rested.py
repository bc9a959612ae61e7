"""What a printer leaves to others for a while: also a job with which its bridge vanished

Revision: 0023
Follows: 0022
"""

from concurrently import concurrently, drop_index, make_index

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

SCHEMA, TABLE = "queue", "attempt"
COLUMNS = ["job_id", "printer_id"]
FAULTS = "'bridge_storage_failed', 'file_rejected', 'octoprint_refused', 'start_refused', 'transfer_failed'"
RESTED = (
    "'bridge_storage_failed', 'file_rejected', 'journal_lost', 'lease_expired', "
    "'octoprint_refused', 'start_refused', 'transfer_failed'"
)


def upgrade() -> None:
    with concurrently():  # each serves the claims of both versions: neither is missed meanwhile
        make_index("ix_attempt_rested", TABLE, COLUMNS, schema=SCHEMA, where=_released(RESTED))
        drop_index("ix_attempt_fault", TABLE, schema=SCHEMA)


def downgrade() -> None:
    with concurrently():
        make_index("ix_attempt_fault", TABLE, COLUMNS, schema=SCHEMA, where=_released(FAULTS))
        drop_index("ix_attempt_rested", TABLE, schema=SCHEMA)


def _released(reasons: str) -> str:
    return f"state = 'released' AND reason IN ({reasons})"
