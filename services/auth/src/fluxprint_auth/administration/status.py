"""What an administrator wants to know of the database."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TableStatus:
    """A table with its indexes; `rows` is an estimate."""

    name: str
    bytes: int
    rows: int


@dataclass(frozen=True, kw_only=True)
class DatabaseStatus:
    """The database of the auth service. Sizes in bytes, durations in seconds.

    Attributes:
        schema_revision: the last migration; None where the service may not see it.
        oldest_transaction_s: of the service itself; None where none is open.
    """

    server_version: str
    schema_revision: str | None
    database_bytes: int
    tables: list[TableStatus]
    connections: int
    max_connections: int
    oldest_transaction_s: int | None
    waiting_mails: int
