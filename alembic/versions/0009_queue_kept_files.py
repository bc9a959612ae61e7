"""Indexes of the files that are not deleted, for lists of them and for what they hold

Revision: 0009
Follows: 0008
"""

import sqlalchemy as sa
from alembic import op
from concurrently import concurrently

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SCHEMA = "queue"

#: Name, columns, columns that only come along.
INDEXES = (
    ("ix_file_kept", ["organisation_id", "id"], ["size_bytes"]),
    ("ix_file_kept_uploaded_by", ["organisation_id", "uploaded_by", "id"], None),
)


def upgrade() -> None:
    with concurrently():
        for name, columns, include in INDEXES:
            # One that was interrupted is left behind, and is of no use.
            op.drop_index(name, "file", schema=SCHEMA, if_exists=True, postgresql_concurrently=True)
            op.create_index(
                name,
                "file",
                columns,
                schema=SCHEMA,
                postgresql_include=include,
                postgresql_where=sa.text("deleted_at IS NULL"),
                postgresql_concurrently=True,
            )


def downgrade() -> None:
    with concurrently():
        for name, _columns, _include in INDEXES:
            op.drop_index(name, "file", schema=SCHEMA, if_exists=True, postgresql_concurrently=True)
