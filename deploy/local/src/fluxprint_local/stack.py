"""What `up` starts, in which order and with which settings."""

import asyncio
import hashlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg
from dotenv import dotenv_values

from fluxprint_local.bootstrap import ROOT
from fluxprint_local.datafolder import DataFolder, Ports, Secrets
from fluxprint_local.ports import is_free
from fluxprint_local.postgres import Cluster
from fluxprint_local.process import Process, at_once, is_healthy
from fluxprint_local.redis import Redis
from fluxprint_local.supervisor import StartFailed, Supervisor
from fluxprint_local.traefik import Traefik

SERVICES = ("auth", "queue", "camera")
MIGRATE_TIMEOUT_S = 300
DATABASE_TIMEOUT_S = 10
EVERYWHERE_OR_LOOPBACK = {"0.0.0.0", "127.0.0.1"}  # noqa: S104


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a stack keeps its data and listens."""

    data: DataFolder
    host: str
    port: int
    public_url: str

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """From `FLUXPRINT_DATA_DIR`, `FLUXPRINT_HOST`, `FLUXPRINT_PORT` and `FLUXPRINT_PUBLIC_URL`."""
        host = environment.get("FLUXPRINT_HOST", "127.0.0.1")
        port = environment.get("FLUXPRINT_PORT", "8080")
        if not (port.isdecimal() and 0 < int(port) < 65536):
            raise StartFailed(f"FLUXPRINT_PORT is {port!r}, which is no port: a number from 1 to 65535")
        data = Path(environment.get("FLUXPRINT_DATA_DIR") or ROOT / ".fluxprint").expanduser().absolute()
        name = "localhost" if host in EVERYWHERE_OR_LOOPBACK else host
        return cls(
            data=DataFolder(data),
            host=host,
            port=int(port),
            public_url=environment.get("FLUXPRINT_PUBLIC_URL") or f"http://{name}:{port}",
        )

    @property
    def local_url(self) -> str:
        """Where a process of this machine reaches it."""
        return f"http://{'127.0.0.1' if self.host in EVERYWHERE_OR_LOOPBACK else self.host}:{self.port}"


class Stack:
    """The processes of one place. A database and a Redis that the environment names are used, not started."""

    def __init__(self, place: Place, environment: Mapping[str, str]) -> None:
        self.place = place
        self._environment = environment

    async def start(self, supervisor: Supervisor) -> Ports:
        """Start everything and return when it is ready. Raises `SetupError` and `StartFailed`."""
        place, data = self.place, self.place.data
        if not is_free(place.port, place.host):
            raise StartFailed(
                f"port {place.port} on {place.host} is in use by another program; choose another one, "
                f"for example FLUXPRINT_PORT={place.port + 1} ./fluxprint up"
            )
        await supervisor.preload(*(f"fluxprint_{name}" for name in SERVICES))
        ports, secrets, _ = data.choose_ports(), data.secrets(), data.signing_key()
        stores = []
        if "MIGRATE_DATABASE_URL" not in self._environment:
            cluster = self._cluster(ports, secrets)
            await asyncio.to_thread(cluster.initialise)
            stores.append(cluster.process())
        if "FLUXPRINT_REDIS_URL" not in self._environment:
            stores.append(self._redis(ports, secrets).process())
        await supervisor.start(*stores)
        await self._migrate(supervisor, ports, secrets)
        addresses = {name: f"http://127.0.0.1:{getattr(ports, name)}" for name in SERVICES}
        traefik = Traefik(host=place.host, port=place.port, internal_port=ports.traefik, services=addresses)
        services = [self.service(name, ports, secrets) for name in SERVICES]
        await supervisor.start(traefik.process(), *services)  # it needs no import, and starts while they wait for that
        if (bridge := data.path / "bridge.env").exists():
            await supervisor.start(self.bridge(bridge))
        return ports

    def service(self, name: str, ports: Ports, secrets: Secrets) -> Process:
        """One of `SERVICES`."""
        port: int = getattr(ports, name)
        return Process(
            name=name,
            command=[sys.executable, "-P", "-m", f"fluxprint_{name}"],
            environment=self.service_environment(name, ports, secrets),
            is_ready=lambda: is_healthy(port),
        )

    def service_environment(self, name: str, ports: Ports, secrets: Secrets) -> dict[str, str]:
        """Its settings: the shared ones and its own, and of the caller's environment those that are not fixed here."""
        data, prefix = self.place.data, name.upper()
        mail = {} if "AUTH_MAIL_SMTP_URL" in self._environment else {"AUTH_MAIL_DIR": str(data.path / "mail")}
        own = {
            "auth": {"AUTH_SIGNING_KEY_FILE": str(data.signing_key()), "AUTH_SECRET": secrets.auth_secret, **mail},
            "queue": {
                "QUEUE_STORAGE_DIR": str(data.path / "files"),
                "QUEUE_AUTH_URL": f"http://127.0.0.1:{ports.auth}",
                "QUEUE_OPENAPI_FILE": str(ROOT / "openapi" / "openapi.json"),
            },
            "camera": {
                "CAMERA_QUEUE_URL": f"http://127.0.0.1:{ports.queue}",
                "CAMERA_DATA_DIR": str(data.path / "recordings"),
                "CAMERA_VIEW_TOKEN_SECRET": secrets.camera_view_token_secret,
            },
        }[name]
        return {
            "FLUXPRINT_ENVIRONMENT": "development",
            "FLUXPRINT_LOG_FORMAT": "json",
            "FLUXPRINT_PUBLIC_URL": self.place.public_url,
            "FLUXPRINT_REDIS_URL": self._redis(ports, secrets).url(),
            **self._callers("FLUXPRINT_", f"{prefix}_"),
            "FLUXPRINT_JWKS_URL": f"http://127.0.0.1:{ports.auth}/api/v1/auth/jwks",
            f"{prefix}_HOST": "127.0.0.1",
            f"{prefix}_PORT": str(getattr(ports, name)),
            f"{prefix}_DATABASE_URL": self._database_url(name, ports, secrets),
            **own,
        }

    def bridge(self, file: Path) -> Process:
        """A bridge with the settings of `file`, and its journal in the data folder."""

        file.chmod(0o600)  # it holds keys
        settings = {key: value or "" for key, value in dotenv_values(file, interpolate=False).items()}
        return Process(
            name="bridge",
            command=[sys.executable, "-P", "-m", "fluxprint_bridge"],
            environment={
                "FLUXPRINT_ENVIRONMENT": "development",
                "FLUXPRINT_LOG_FORMAT": "json",
                "FLUXPRINT_API_URL": self.place.local_url,
                "BRIDGE_DATA_DIR": str(self.place.data.path / "bridge"),
                **settings,
            },
            is_ready=at_once,  # it may find nothing to connect to yet, and the rest works without it
        )

    def redis_url(self) -> str:
        """The Redis that a started stack has."""
        return self._redis(self.place.data.ports(), self.place.data.secrets()).url()

    def _callers(self, *prefixes: str) -> dict[str, str]:
        ours = {"FLUXPRINT_DATA_DIR", "FLUXPRINT_HOST", "FLUXPRINT_PORT"}
        return {k: v for k, v in self._environment.items() if k.startswith(prefixes) and k not in ours}

    def _cluster(self, ports: Ports, secrets: Secrets) -> Cluster:
        return Cluster(data=self.place.data.path / "postgres", port=ports.postgres, password=secrets.postgres_password)

    def _redis(self, ports: Ports, secrets: Secrets) -> Redis:
        return Redis(folder=self.place.data.path / "redis", port=ports.redis, password=secrets.redis_password)

    def _owner_url(self, ports: Ports, secrets: Secrets) -> str:
        return self._environment.get("MIGRATE_DATABASE_URL") or self._cluster(ports, secrets).url()

    def _database_url(self, service: str, ports: Ports, secrets: Secrets) -> str:
        """The owner's database as the service's role."""
        password: str = getattr(secrets, f"migrate_{service}_password")
        url = urlsplit(self._owner_url(ports, secrets))
        where = url.netloc.rpartition("@")[2]
        return urlunsplit(url._replace(netloc=f"fluxprint_{service}:{quote(password)}@{where}"))

    # -- migration -------------------------------------------------------------------------------------------------

    async def _migrate(self, supervisor: Supervisor, ports: Ports, secrets: Secrets) -> None:
        """Bring the schema to this version's. Skipped when the same one did it before, which saves a second."""
        environment = {
            "MIGRATE_DATABASE_URL": self._owner_url(ports, secrets),
            "MIGRATE_AUTH_PASSWORD": secrets.migrate_auth_password,
            "MIGRATE_QUEUE_PASSWORD": secrets.migrate_queue_password,
            "MIGRATE_CAMERA_PASSWORD": secrets.migrate_camera_password,
        }
        mark = self.place.data.path / "migrated"
        wanted = _fingerprint(environment)
        url = environment["MIGRATE_DATABASE_URL"]
        if mark.exists() and mark.read_text() == f"{wanted} {await revision_of(url)}":
            return
        command = [sys.executable, "-P", "-m", "alembic", "-c", str(ROOT / "alembic.ini"), "upgrade", "head"]
        await supervisor.run("migrate", command, environment, timeout_s=MIGRATE_TIMEOUT_S)
        mark.write_text(f"{wanted} {await revision_of(url)}")


def _fingerprint(environment: Mapping[str, str]) -> str:
    digest = hashlib.sha256(repr(sorted(environment.items())).encode())
    for file in sorted((ROOT / "alembic").rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()


async def revision_of(url: str) -> str | None:
    """The revision of the database itself: it may be another one than was migrated here, restored from a backup."""
    try:
        connection = await asyncpg.connect(url.replace("+asyncpg", ""), timeout=DATABASE_TIMEOUT_S)
    except asyncpg.InvalidPasswordError:
        raise StartFailed(
            "PostgreSQL refuses the password of the database's owner. It is POSTGRES_PASSWORD in secrets.env of the "
            "data folder, or in MIGRATE_DATABASE_URL; put the one before back, and change it in the database first"
        ) from None
    try:
        revision: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
    except asyncpg.UndefinedTableError:
        return None
    else:
        return revision
    finally:
        await connection.close()
