"""The folder that holds everything a local stack keeps: databases, files, logs, ports, secrets, the signing key."""

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

from fluxprint_local.bootstrap import SetupError
from fluxprint_local.ports import free_port, is_free


class AlreadyRunning(SetupError):
    """Another process has the folder; the message says which, and where it listens."""


@dataclass(frozen=True)
class Ports:
    """Where the parts listen on loopback. They stay the same from start to start where they can."""

    postgres: int
    redis: int
    auth: int
    queue: int
    camera: int
    traefik: int


@dataclass(frozen=True)
class Secrets:
    """Made once, at random; `secrets.env` holds them under their upper-case names."""

    postgres_password: str
    migrate_auth_password: str
    migrate_queue_password: str
    migrate_camera_password: str
    redis_password: str
    auth_secret: str
    camera_view_token_secret: str


class DataFolder:
    """A folder that only its owner can enter."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextlib.contextmanager
    def lock(self, url: str) -> Iterator[None]:
        """Own the folder until the block or the process ends. Raises `AlreadyRunning`."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(PermissionError):  # one that was there before may be open to others
            self.path.chmod(0o700)
        with (self.path / "lock").open("a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = self.owner()
                where = f"process {owner[0]}, {owner[1]}" if owner else "it is just starting"
                raise AlreadyRunning(
                    f"already running on {self.path} ({where}). End it with ctrl-C or ./fluxprint down, or start "
                    "another one with its own FLUXPRINT_DATA_DIR and FLUXPRINT_PORT."
                ) from None
            file.truncate(0)
            file.write(json.dumps([os.getpid(), url]))
            file.flush()
            yield

    def owner(self) -> tuple[int, str] | None:
        """The process that has the folder and the URL it serves, or None when nobody has it."""
        with contextlib.suppress(FileNotFoundError, ValueError), (self.path / "lock").open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                pid, url = json.loads(file.read())
                return pid, url
        return None

    def ports(self) -> Ports:
        """The ports as they were written down."""
        return Ports(**json.loads((self.path / "ports.json").read_text()))

    def choose_ports(self) -> Ports:
        """The ports for a start: the same as before, but for those that something else has taken."""
        file = self.path / "ports.json"
        kept: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
        chosen: dict[str, int] = {}
        for field in fields(Ports):
            port = kept.get(field.name)
            while port is None or port in chosen.values() or not is_free(port):
                port = free_port()
            chosen[field.name] = port
        if chosen != kept:
            _write_private(file, json.dumps(chosen))
        return Ports(**chosen)

    def secrets(self) -> Secrets:
        """The secrets, made where one is missing."""
        file = self.path / "secrets.env"
        lines = file.read_text().splitlines() if file.exists() else []
        kept = {name.lower(): value for name, _, value in (line.partition("=") for line in lines)}
        made = {field.name: kept.get(field.name) or secrets.token_hex(32) for field in fields(Secrets)}
        if made != kept:
            _write_private(file, "".join(f"{name.upper()}={value}\n" for name, value in made.items()))
        return Secrets(**made)

    def signing_key(self) -> Path:
        """The auth service's key (EC P-256, PEM), made at the first start."""
        file = self.path / "signing-key.pem"
        if not file.exists():
            # Costs a noticeable part of a start, so not at each.
            from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
            from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

            pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            _write_private(file, pem.decode())
        return file


def _write_private(file: Path, text: str) -> None:
    """Write for the owner only, and completely or not at all."""
    being_written = file.with_name(file.name + ".new")
    being_written.unlink(missing_ok=True)
    being_written.touch(mode=0o600)
    being_written.write_text(text)
    being_written.rename(file)
