"""A real OctoPrint with its virtual printer, for the demo and for tests.

It lives in a folder of its own, survives restarts with its files and history, and knows two keys: one of a user
`bridge` with the few permissions that a bridge needs, and one of an administrator for whoever watches.
"""

import asyncio
import base64
import hashlib
import json
import os
import secrets
import shutil
import signal
import ssl
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from fluxprint_local.bootstrap import ROOT, make_environment

#: What a bridge needs, and no more: it can't connect printers or send G-code, and overwrites nothing.
BRIDGE_PERMISSIONS = ("STATUS", "FILES_LIST", "FILES_UPLOAD", "FILES_DELETE", "FILES_SELECT", "PRINT")
#: Plugins that phone home or check the host; nothing here needs them.
_UNUSED_PLUGINS = (
    "achievements", "announcements", "backup", "discovery", "errortracking", "firmware_check", "file_check",
    "health_check", "pi_support", "softwareupdate", "tracking",
)  # fmt: skip
#: It speaks plain HTTP on loopback; httpx would read all certificate authorities (40 ms) for each client.
_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_KEYS_FILE = "fluxprint-keys.json"


class OctoPrintFailed(Exception):
    """OctoPrint ended or did not answer in time; the message carries the end of its output."""


@dataclass(frozen=True)
class Keys:
    bridge: str
    admin: str
    admin_password: str


def environment() -> Path:
    """The Python of the virtual environment that holds OctoPrint, made when it is missing (about 5 s)."""
    return make_environment(ROOT / ".venv-octoprint", ROOT / "requirements/octoprint.txt")


class OctoPrint:
    """One OctoPrint. `command` and `variables` are for a supervisor, `start` and `stop` for everybody else."""

    def __init__(
        self,
        folder: Path,
        port: int,
        *,
        python: Path | None = None,
        host: str = "127.0.0.1",
        analyses_files: bool = True,
    ) -> None:
        """`analyses_files`: as it does by default whenever nothing prints; a second of a core for each upload."""
        self.folder = folder
        self.port = port
        self.host = host
        self.url = f"http://{host}:{port}"
        self._python = python
        self._process: asyncio.subprocess.Process | None = None
        self.keys = self._create(analyses_files=analyses_files)

    # -- what it is ------------------------------------------------------------------------------------------------

    @property
    def command(self) -> list[str]:
        """The process to run."""
        octoprint = str((self._python or environment()).with_name("octoprint"))
        place = ["--basedir", str(self.folder), "--host", self.host, "--port", str(self.port)]
        return [octoprint, "serve", "--iknowwhatimdoing", *place]

    @property
    def variables(self) -> dict[str, str]:
        """Its environment. Uploads are spooled on the file system of their destination: then they arrive atomically."""
        return {**os.environ, "TMPDIR": str(self.folder / "tmp")}

    @property
    def log(self) -> Path:
        return self.folder / "logs" / "octoprint.log"

    @property
    def output(self) -> Path:
        return self.folder / "output.log"

    def _create(self, *, analyses_files: bool) -> Keys:
        keys_file = self.folder / _KEYS_FILE
        if keys_file.exists():
            return Keys(**json.loads(keys_file.read_text()))
        (self.folder / "tmp").mkdir(parents=True, exist_ok=True)
        keys = Keys(bridge=secrets.token_hex(16), admin=secrets.token_hex(16), admin_password=secrets.token_urlsafe(9))
        # JSON is YAML, so no YAML library is needed to write either file.
        _write(self.folder / "config.yaml", _configuration(f"FluxPrint {self.folder.name}", analyses_files))
        _write(self.folder / "users.yaml", _users(keys))
        _write(keys_file, asdict(keys))
        return keys

    # -- running it ------------------------------------------------------------------------------------------------

    async def start(self, *, timeout_s: float = 90) -> None:
        """Start it and wait until its API answers and its printer is connected. Raises `OctoPrintFailed`."""
        await self.spawn()
        await self.ready(timeout_s=timeout_s)

    async def spawn(self) -> None:
        """Start it without waiting; it ends with the process that started it, where the system can see to that."""
        command = self.command
        if (setpriv := shutil.which("setpriv")) is not None:
            command = [setpriv, "--pdeathsig", "KILL", *command]
        with self.output.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *command,
                env=self.variables,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    async def ready(self, *, timeout_s: float = 90) -> None:
        """Wait until the printer is connected. Raises `OctoPrintFailed`."""
        try:
            async with asyncio.timeout(timeout_s):
                while await self.state() != "Operational":
                    if self._process is not None and self._process.returncode is not None:
                        raise OctoPrintFailed(f"OctoPrint ended with {self._process.returncode}: {self._tail()}")
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise OctoPrintFailed(f"OctoPrint is not ready after {timeout_s} s: {self._tail()}") from None

    async def stop(self, *, timeout_s: float = 15) -> None:
        """End it politely, then not."""
        await self._end(signal.SIGTERM, timeout_s)

    async def kill(self) -> None:
        """End it as a power cut does."""
        await self._end(signal.SIGKILL, 15)

    def freeze(self) -> None:
        """Stop the process without ending it: connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    async def _end(self, number: signal.Signals, timeout_s: float) -> None:
        if self._process is None:
            return
        self._signal(number)
        try:
            async with asyncio.timeout(timeout_s):
                await self._process.wait()
        except TimeoutError:
            self._signal(signal.SIGKILL)
            await self._process.wait()
        self._process = None

    def _tail(self) -> str:
        return self.output.read_text(errors="replace")[-2000:] if self.output.exists() else "no output"

    # -- watching it, as its administrator --------------------------------------------------------------------------

    async def call(self, method: str, path: str, *, json_body: object = None) -> httpx.Response:
        """One call of its API with the administrator's key. Raises `httpx.HTTPError`."""
        headers = {"X-Api-Key": self.keys.admin}
        async with httpx.AsyncClient(base_url=self.url, headers=headers, timeout=10, verify=_NO_TLS) as http:
            return await http.request(method, path, json=json_body)

    async def state(self) -> str | None:
        """The text of its state, or None while its API does not answer."""
        try:
            job = await self.job()
        except (httpx.HTTPError, ValueError):
            return None
        return str(job.get("state"))

    async def job(self) -> dict[str, object]:
        """`GET /api/job`. Raises `httpx.HTTPError` or `ValueError` while it boots."""
        answer = (await self.call("GET", "/api/job")).raise_for_status().json()
        return dict(answer)

    async def file(self, path: str) -> dict[str, object] | None:
        """What it knows about a file, its history in `prints` included, or None."""
        for query in ("", "?recursive=true"):  # its list of a folder may be stale; that of all below it is another one
            response = await self.call("GET", f"/api/files/local/{path}{query}")
            if response.status_code != 404:
                return dict(response.raise_for_status().json())
        return None

    async def successes_and_failures(self, path: str) -> tuple[int, int]:
        """How often a file was printed, by OctoPrint's own history."""
        prints = ((await self.file(path)) or {}).get("prints")
        if not isinstance(prints, dict):
            return 0, 0
        return int(prints["success"]), int(prints["failure"])

    def starts(self, path: str) -> int:
        """How often a file was started, by OctoPrint's log, which remembers what the API forgets after a crash."""
        logs = sorted(self.log.parent.glob("octoprint.log*"))
        lines = (line for log in logs for line in log.read_text(errors="replace").splitlines())
        return sum(f"Print job started - origin: local, path: {path}," in line for line in lines)

    async def command_printer(self, gcode: str) -> None:
        """Send a line of G-code; `!!DEBUG:...` speaks to the virtual printer itself."""
        (await self.call("POST", "/api/printer/command", json_body={"command": gcode})).raise_for_status()

    async def debug(self, command: str) -> None:
        """Make the virtual printer fail in one of its ways, such as `drop_connection`."""
        await self.command_printer(f"!!DEBUG:{command}")

    async def connect(self) -> None:
        """Connect the printer, as a person does after an error, and wait until it is."""
        (await self.call("POST", "/api/connection", json_body={"command": "connect"})).raise_for_status()
        await self.ready(timeout_s=15)


def _configuration(name: str, analyses_files: bool) -> dict[str, object]:
    return {
        "server": {
            "firstRun": False,
            "onlineCheck": {"enabled": False},
            "pluginBlacklist": {"enabled": False},
            "pythonEolCheck": {"enabled": False},
            "preemptiveCache": {"until": 0},
            "seenWizards": {"corewizard": 4, "classicwebcam": 1},
        },
        "appearance": {"name": name},
        "gcodeAnalysis": {"runAt": "idle" if analyses_files else "never"},
        "webcam": {"timelapseEnabled": False},
        "serial": {
            "port": "VIRTUAL",
            "baudrate": 115200,
            "autoconnect": True,
            # A silent printer is given up after seconds instead of minutes; temperatures come every second.
            "timeout": {
                "communication": 2.0,
                "communicationBusy": 2.0,
                "temperature": 2.0,
                "temperatureTargetSet": 1.0,
                "temperatureAutoreport": 1.0,
                "sdStatus": 1.0,
                "positionLogWait": 2.0,
                "connection": 5.0,
            },
            "maxCommunicationTimeouts": {"idle": 2, "printing": 2, "long": 2},
        },
        "plugins": {
            "_disabled": list(_UNUSED_PLUGINS),
            "virtual_printer": {
                "enabled": True,
                # The stock list makes every print resend lines; an entry that matches nothing switches that off.
                "simulated_errors": ["0:none"],
                "commandBuffer": 64,
                "rxBuffer": 4096,
                "waitInterval": 0.3,
                "brokenM29": False,
            },
        },
    }


def _users(keys: Keys) -> dict[str, object]:
    """OctoPrint 1.11's users file, version 2. Only the administrator has a password; the bridge has its key."""
    return {
        "_version": 2,
        "admin": _user(keys.admin, password=_pbkdf2_sha256(keys.admin_password), groups=["admins"]),
        "bridge": _user(keys.bridge, permissions=list(BRIDGE_PERMISSIONS)),
    }


def _user(
    key: str, *, password: str = "", groups: list[str] | None = None, permissions: list[str] | None = None
) -> dict[str, object]:
    return {
        "active": True,
        "apikey": key,
        "groups": groups or [],
        "password": password,
        "permissions": permissions or [],
        "roles": ["user"],
        "settings": {},
    }


def _pbkdf2_sha256(password: str, *, rounds: int = 100_000) -> str:
    """A hash in the notation of passlib, which OctoPrint reads."""

    def text(data: bytes) -> str:
        return base64.b64encode(data).decode().rstrip("=").replace("+", ".")

    salt = secrets.token_bytes(16)
    digest = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, rounds)
    return f"$pbkdf2-sha256${rounds}${text(salt)}${text(digest)}"


def _write(path: Path, content: Mapping[str, object]) -> None:
    path.touch(mode=0o600)
    path.write_text(json.dumps(content, indent=1))
