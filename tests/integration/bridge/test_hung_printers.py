"""Printers that hang, in every way that a network has, beside one that lives: it prints as if it were alone."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fluxprint_local.ports import free_port
from fluxprint_local.process import Process, http_status
from support import servers
from support.bridge import running_bridge
from support.fake_cloud import FakeCloud
from support.fake_cloud_routes import running_cloud
from support.octoprint import slow_gcode
from tools.bench.hung import black_hole

HUNG_EACH_WAY = 8

#: Put before all modules of the bridge: a resolver that does not answer for some names, as for a printer that is off.
_RESOLVER = """
import pathlib, socket, time
resolve = socket.getaddrinfo
def getaddrinfo(host, *more, **options):
    name = host.decode() if isinstance(host, bytes) else str(host)
    while name.endswith(".hangs.test") and not pathlib.Path({released!r}).exists():
        time.sleep(0.05)
    return resolve(host, *more, **options)
socket.getaddrinfo = getaddrinfo
"""


@pytest.fixture
async def standins(tmp_path: Path) -> AsyncIterator[int]:
    """Stand-ins for OctoPrint: number 0 lives, the others accept and never answer."""
    port = free_port()

    async def is_ready() -> bool:
        return await http_status("127.0.0.1", port, "/0/api/job") == 200

    arguments = map(str, (port, 1 + HUNG_EACH_WAY, 0.5, HUNG_EACH_WAY))
    command = [sys.executable, "-m", "tools.bench.octoprints", *arguments]
    async with servers.started(
        Process(name="octoprints", command=command, is_ready=is_ready), tmp_path / "standins.log"
    ):
        yield port


class TestHungPrinters:
    async def test_they_hold_up_nobody(self, standins: int, tmp_path: Path) -> None:
        released = tmp_path / "released"
        (tmp_path / "sitecustomize.py").write_text(_RESOLVER.format(released=str(released)))
        with black_hole() as hole:
            urls = [
                f"http://127.0.0.1:{standins}/0",
                *(f"http://127.0.0.1:{standins}/{1 + number}" for number in range(HUNG_EACH_WAY)),
                *(f"http://127.0.0.1:{hole}/{number}" for number in range(HUNG_EACH_WAY)),
                *(f"http://printer{number}.hangs.test" for number in range(HUNG_EACH_WAY)),
            ]
            async with running_cloud(FakeCloud(printers=len(urls))) as cloud:
                config = tmp_path / "printers.toml"
                entry = '[[printers]]\nid = "{}"\noctoprint_url = "{}"\noctoprint_api_key = "any"\n'
                config.write_text("\n".join(map(entry.format, cloud.printer_ids, urls)))
                settings = {"BRIDGE_CONFIG": str(config), "PYTHONPATH": str(tmp_path)}
                async with running_bridge(tmp_path, cloud_url=cloud.url, octoprint=None, settings=settings):
                    try:
                        await print_three(cloud)
                    finally:
                        released.touch()


async def print_three(cloud: FakeCloud) -> None:
    """Meanwhile not one of the names is resolved, and not one of the hung answers."""
    for _ in range(3):
        attempt = await cloud.add_job(slow_gcode(1), printer_id=cloud.printer_ids[0])
        await cloud.until_state(attempt, "completed")
        await cloud.clear_bed()
