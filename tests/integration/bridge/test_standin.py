"""The stand-in that `make bench` loads bridges with says what OctoPrint says, in what a bridge reads of it."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr

from fluxprint_bridge.octoprint import push
from fluxprint_bridge.octoprint.client import OctoPrintClient
from fluxprint_bridge.octoprint.errors import Conflict
from fluxprint_bridge.octoprint.state import PrinterState, StoredFile, read_current, read_temperatures
from fluxprint_bridge.printer.probe import NEEDED
from fluxprint_local.octoprint import OctoPrint
from fluxprint_local.ports import free_port
from fluxprint_local.process import Process, http_status
from support import servers
from support.by_hand import until_operational
from support.octoprint import slow_gcode

FOLDER, NAME = "fluxprint/2026-11", "standin.gcode"
PATH = f"{FOLDER}/{NAME}"
#: What a bridge decides by; OctoPrint sends more, and orders some of it as it comes.
DECISIVE = ("PrintStarted", "PrintDone", "PRINTING", "OPERATIONAL")


@pytest.fixture
async def standin(tmp_path: Path) -> AsyncIterator[OctoPrintClient]:
    port = free_port()

    async def is_ready() -> bool:
        return await http_status("127.0.0.1", port, "/0/api/job") == 200

    command = [sys.executable, "-m", "tools.bench.octoprints", *map(str, (port, 1, 0.5))]
    async with (
        servers.started(Process(name="octoprints", command=command, is_ready=is_ready), tmp_path / "standins.log"),
        OctoPrintClient(f"http://127.0.0.1:{port}/0", SecretStr("any")) as client,
    ):
        yield client


@pytest.fixture
async def real(octoprint: OctoPrint) -> AsyncIterator[OctoPrintClient]:
    async with OctoPrintClient(octoprint.url, SecretStr(octoprint.keys.bridge)) as client:
        yield client


@dataclass(frozen=True)
class Seen:
    """What one OctoPrint did with one file."""

    stored_as: str
    stored: StoredFile | None
    second_upload_refused: bool
    absent: StoredFile | None
    states: tuple[PrinterState, PrinterState]
    prints_it: bool
    events: list[str]
    reads_push: bool
    printed: StoredFile | None
    remembers_it: bool


class TestStandin:
    async def test_it_does_what_octoprint_does(
        self, standin: OctoPrintClient, real: OctoPrintClient, tmp_path: Path
    ) -> None:
        source = tmp_path / NAME
        source.write_bytes(slow_gcode(2))
        expected = await see(real, source)
        assert (await standin.account()).permissions >= NEEDED.keys()
        found = await see(standin, source)
        assert found.printed is not None
        assert expected.printed is not None
        for printed in (found.printed, expected.printed):
            assert printed.prints.last is not None
            assert printed.prints.last.print_time_s is not None
            printed.prints.last.print_time_s = 0.5
            assert abs((printed.prints.last.ended_at or 0) - time.time()) < 60
            printed.prints.last.ended_at = None
        assert found == expected

    async def test_a_cancelled_print_is_told_as_octoprint_does(
        self, standin: OctoPrintClient, real: OctoPrintClient, octoprint: OctoPrint, tmp_path: Path
    ) -> None:
        source = tmp_path / NAME
        source.write_bytes(slow_gcode(30))
        expected = await cancelled(real, source)
        await until_operational(octoprint)  # until then the file is in use
        await real.remove(f"fluxprint/cancelled/{NAME}")
        assert await cancelled(standin, source) == expected


async def see(client: OctoPrintClient, source: Path) -> Seen:
    """Store, print and look."""
    stored_as = await client.upload(source, folder=FOLDER, name=NAME)
    stored = await client.file(PATH)
    try:
        await client.upload(source, folder=FOLDER, name=NAME)
        refused = False
    except Conflict:
        refused = True
    before = await client.job()
    events, currents = [], []
    async with asyncio.timeout(20):
        async for message in push.listen(client):
            if isinstance(message, push.Connected):
                await client.select_and_print(PATH)
                during = await client.job()
            elif isinstance(message, push.Current):
                currents.append(message.body)
            else:
                events.append(message.text("state_id") or message.kind)
                if "PrintDone" in events and events[-1] == "OPERATIONAL":
                    break
    seen = Seen(
        stored_as=stored_as,
        stored=stored,
        second_upload_refused=refused,
        absent=await client.file("fluxprint/absent.gcode"),
        states=(before.state, (await client.job()).state),
        prints_it=during.prints(PATH),
        events=[event for event in events if event in DECISIVE],
        reads_push=all(map(read_current, currents)) and any(map(read_temperatures, currents)),
        printed=await client.file(PATH),
        remembers_it=PATH in [path async for path, _ in client.printed_since(time.time() - 60)],
    )
    await client.remove(PATH)
    return seen


async def cancelled(client: OctoPrintClient, source: Path) -> list[tuple[str, str | None]]:
    """The events of a print that is cancelled, by kind and reason. (OctoPrint gives PrintCancelled a reason or none:
    it goes on with the same payload while that event is on its way.)"""
    path = await client.upload(source, folder="fluxprint/cancelled", name=NAME)
    heard: list[tuple[str, str | None]] = []
    async with asyncio.timeout(20):
        async for message in push.listen(client):
            if isinstance(message, push.Connected):
                await client.select_and_print(path)
            elif isinstance(message, push.Event) and message.text("state_id") == "PRINTING":
                await client.cancel()
            elif isinstance(message, push.Event) and message.kind in {"PrintCancelled", "PrintFailed"}:
                heard.append((message.kind, message.text("reason") if message.kind == "PrintFailed" else None))
                if message.kind == "PrintFailed":
                    break
    return heard
