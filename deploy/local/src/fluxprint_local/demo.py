"""`demo`: a file goes from the API through Traefik to a real OctoPrint, and is watched while it prints."""

import asyncio
import os
import shutil
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from fluxprint_local import octoprint
from fluxprint_local.bootstrap import ROOT
from fluxprint_local.demo_client import DemoClient, Outcome
from fluxprint_local.demo_screen import Screen
from fluxprint_local.octoprint import OctoPrint
from fluxprint_local.ports import free_port, is_free
from fluxprint_local.process import Process, http_status
from fluxprint_local.stack import Place, Stack
from fluxprint_local.supervisor import StartFailed, Supervisor

FILE = ROOT / "tests" / "fixtures" / "bracket.gcode"
PRINT_TIMEOUT_S = 300
PRINTER_TIMEOUT_S = 60


@dataclass(frozen=True)
class Result:
    """What the demo saw."""

    outcome: Outcome
    successes: int
    failures: int

    @property
    def is_success(self) -> bool:
        return (
            self.outcome.state == "completed"
            and (self.successes, self.failures) == (1, 0)
            and self.outcome.viewer_frames > 0
        )


def demo(_arguments: list[str]) -> None:
    """Print a file, show it, and end; with KEEP=1 stay until ctrl-C."""
    keep = os.environ.get("KEEP", "") not in ("", "0")
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="fluxprint-demo-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        place = _place(folder)
        stack.enter_context(place.data.lock(place.public_url))
        try:
            result = asyncio.run(_demo(place, keep=keep))
        except asyncio.CancelledError:
            sys.exit(130)
    sys.exit(0 if result.is_success else 1)


def _place(folder: Path) -> Place:
    """The usual port where it is free: a demo does not disturb an installation that runs."""
    place = Place.from_environment({**os.environ, "FLUXPRINT_DATA_DIR": str(folder)})
    if "FLUXPRINT_PORT" in os.environ or is_free(place.port, place.host):
        return place
    port = free_port()
    return replace(place, port=port, public_url=f"http://localhost:{port}")


async def _demo(place: Place, *, keep: bool) -> Result:
    python = await asyncio.to_thread(octoprint.environment)
    printer = OctoPrint(place.data.path / "octoprint", free_port(), python=python)
    camera_port = free_port()
    # A demo may be run many times in an hour.
    environment = {"QUEUE_LIMIT_JOBS": "1000/hour", **os.environ}
    async with Supervisor(place.data.path) as supervisor:
        stack = Stack(place, environment)
        await asyncio.gather(stack.start(supervisor), supervisor.start(_octoprint(printer), _camera(camera_port)))
        async with DemoClient(place.local_url) as client:
            result = await _print(client, stack, supervisor, printer, camera_port)
        _summary(result)
        if keep:
            print(_where(place, printer, client), flush=True)
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
        return result


async def _print(
    client: DemoClient, stack: Stack, supervisor: Supervisor, printer: OctoPrint, camera_port: int
) -> Result:
    await client.register()
    token = await client.add_printer()
    bridge_file = stack.place.data.path / "bridge.env"
    bridge_file.touch(mode=0o600)
    bridge_file.write_text(
        f"BRIDGE_AUTH_TOKEN={token}\nOCTOPRINT_URL={printer.url}\nOCTOPRINT_API_KEY={printer.keys.bridge}\n"
        f"CAMERA_URL=http://127.0.0.1:{camera_port}/?action=stream\n"
    )
    await supervisor.start(stack.bridge(bridge_file))
    await client.printer_is_online(timeout_s=PRINTER_TIMEOUT_S)
    screen = Screen(FILE.name)
    try:
        async with asyncio.timeout(PRINT_TIMEOUT_S):
            outcome = await client.print_file(FILE, screen)
    except TimeoutError:
        raise StartFailed(f"the print did not end within {PRINT_TIMEOUT_S} s") from None
    path = f"fluxprint/{time.strftime('%Y-%m', time.gmtime())}/{outcome.attempt_id}{FILE.suffix}"
    successes, failures = await printer.successes_and_failures(path)
    return Result(outcome, successes, failures)


def _octoprint(printer: OctoPrint) -> Process:
    async def is_ready() -> bool:
        return await printer.state() == "Operational"

    return Process(
        name="octoprint",
        command=printer.command,
        environment=printer.variables,
        is_ready=is_ready,
        ready_timeout_s=120,
    )


def _camera(port: int) -> Process:
    async def is_ready() -> bool:
        return await http_status("127.0.0.1", port, "/snapshot") == 200

    command = [sys.executable, "-P", "-m", "fluxprint_local.camera_source", "--port", str(port)]
    return Process(name="camera-source", command=command, is_ready=is_ready)


def _summary(result: Result) -> None:
    outcome = result.outcome
    started = f"{outcome.start_s:.2f} s" if outcome.start_s is not None else "never"
    print(f"""
  job                       {outcome.state}{f" ({outcome.reason})" if outcome.reason else ""}
  OctoPrint's own history   {result.successes} success, {result.failures} failures
  from POST /jobs to print  {started}
  printed in                {outcome.print_s:.1f} s
  viewer frames             {outcome.viewer_frames}
""")


def _where(place: Place, printer: OctoPrint, client: DemoClient) -> str:
    return f"""It all goes on until ctrl-C.
  API        {place.public_url}/api/v1, documented at {place.public_url}/api/v1/docs
  account    {client.email}, password {client.password}
  OctoPrint  {printer.url}, user admin, password {printer.keys.admin_password}
  logs       {place.data.path}/logs
"""
