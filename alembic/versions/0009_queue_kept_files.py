"""Indexes of the files that are not deleted, for lists of them and for what they hold

Revision: 0009
Follows: 0008
"""

from concurrently import concurrently, drop_index, make_index

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SCHEMA = "queue"

#: Name, columns, columns that only come along.
INDEXES: tuple[tuple[str, list[str], list[str]], ...] = (
    ("ix_file_kept", ["organisation_id", "id"], ["size_bytes"]),
    ("ix_file_kept_uploaded_by", ["organisation_id", "uploaded_by", "id"], []),
)


def upgrade() -> None:
    with concurrently():
        for name, columns, include in INDEXES:
            make_index(name, "file", columns, schema=SCHEMA, where="deleted_at IS NULL", include=include)


def downgrade() -> None:
    with concurrently():
        for name, _columns, _include in INDEXES:
            drop_index(name, "file", schema=SCHEMA)
