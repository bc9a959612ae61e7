"""A schema and a database role per service: each role reads and writes its own schema and sees no other."""

import base64
import hashlib
import hmac
import os
from collections.abc import Mapping

from alembic import op
from sqlalchemy import Connection, text

SERVICES = ("auth", "queue", "camera")
SCRAM_ITERATIONS = 4096  # PostgreSQL's own figure


def role_of(service: str) -> str:
    """The database role of a service."""
    return f"fluxprint_{service}"


def ensure_roles(connection: Connection, verifiers: Mapping[str, str]) -> None:
    """Create the services' roles where they are missing, and set the passwords that are given: a verifier by service.

    Roles belong to the whole server, so a downgrade leaves them.
    """
    for service in SERVICES:
        role = role_of(service)
        if connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role}) is None:
            # Another database of the same server may be migrated at this moment; our lock is per database.
            connection.execute(
                text(
                    f"DO $$ BEGIN CREATE ROLE {role} LOGIN; "
                    "EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$"
                )
            )
        if service in verifiers:
            # As it stands: to text() the verifier's colons would be parameters. Its alphabet needs no quoting.
            connection.exec_driver_sql(f"ALTER ROLE {role} PASSWORD '{verifiers[service]}'")


def scram_verifier(password: str) -> str:
    """What PostgreSQL stores for a password, made here so that no server log and no error ever holds the password.

    Source: RFC 5802 and RFC 7677, in the form of PostgreSQL's `pg_authid.rolpassword`.

    Raises:
        ValueError: the password is not printable ASCII, which would need SASLprep (RFC 4013).
    """
    if not password or not password.isascii() or not password.isprintable():
        raise ValueError("not printable ASCII; make one with: openssl rand -hex 32")
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, SCRAM_ITERATIONS)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (base64.b64encode(part).decode() for part in (salt, stored_key, server_key))
    return f"SCRAM-SHA-256${SCRAM_ITERATIONS}:{salt64}${stored64}:{server64}"


def create_schema(service: str) -> None:
    """Create a service's schema; its role may use, but not alter, whatever this migration's user puts there."""
    role = role_of(service)
    op.execute(f"CREATE SCHEMA {service}")
    op.execute(f"REVOKE ALL ON SCHEMA {service} FROM PUBLIC")
    op.execute(f"GRANT USAGE ON SCHEMA {service} TO {role}")
    in_schema = f"ALTER DEFAULT PRIVILEGES IN SCHEMA {service}"
    op.execute(f"{in_schema} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {role}")
    op.execute(f"{in_schema} GRANT USAGE, SELECT ON SEQUENCES TO {role}")


def drop_schema(service: str) -> None:
    """Drop a service's schema with all that is in it."""
    op.execute(f"DROP SCHEMA {service} CASCADE")


def make_append_only(service: str, table: str) -> None:
    """Let the service add rows to a table, but never change or remove one."""
    op.execute(f"REVOKE UPDATE, DELETE, TRUNCATE ON {service}.{table} FROM {role_of(service)}")
