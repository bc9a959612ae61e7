"""What an OctoPrint says that is not up yet, and that none of it is taken for an answer."""

import asyncio

import httpx

from fluxprint_bridge.octoprint.errors import OctoPrintError
from fluxprint_local.octoprint import OctoPrint
from support.bridge import BridgeProcess
from support.fake_cloud import FakeCloud
from support.octoprint import client_of, slow_gcode


async def answers_to_anybody(octoprint: OctoPrint, path: str) -> set[str]:
    """What OctoPrint's stand-in says while it boots, where it is that which answers, in HTML or not at all."""
    found: set[str] = set()
    async with httpx.AsyncClient(base_url=octoprint.url) as http:
        for name, method, where in (("GET /", "GET", "/"), ("GET", "GET", path), ("POST", "POST", path)):
            try:
                answer = await http.request(method, where)
            except httpx.TransportError as error:
                found.add(f"{name} {type(error).__name__}")
            else:
                if answer.headers.get("content-type", "").startswith("text/html"):
                    found.add(f"{name} {answer.status_code}")
    return found


class TestAnswersOfABootingOctoPrint:
    async def test_404_501_and_html_say_nothing_about_a_file_or_a_print(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt = await cloud.add_job(slow_gcode(30))
        await cloud.until(lambda: cloud.now.get("progress") and attempt.state == "printing")
        await octoprint.kill()
        await cloud.until(lambda: cloud.now.get("connection") == "octoprint_offline")
        await octoprint.spawn()
        answers: set[str] = set()
        booting: set[str] = set()
        async with client_of(octoprint) as client, asyncio.timeout(60):
            while "StoredFile" not in answers:
                assert attempt.state == "printing"
                booting |= await answers_to_anybody(octoprint, f"/api/files/local/{attempt.path}")
                for call in (client.select_and_print("none.gcode"), client.file(attempt.path)):
                    try:
                        answers.add(type(await call).__name__)
                    except OctoPrintError as error:
                        answers.add(type(error).__name__)
        # Its 404 has no status line: some read it nevertheless, httpx calls it a broken answer.
        assert booting >= {"GET / 200", "POST 501", "GET RemoteProtocolError"}
        # Never that the file is gone (NoneType). OctoPrint itself says so of `none.gcode` (Missing) when it is up.
        assert answers - {"Missing"} <= {"NotSent", "Unavailable", "StoredFile"}
        await cloud.until_state(attempt, "unknown")
        assert attempt.evidence["file"] is not None
        # A person reads what was seen, and when.
        detail = str(attempt.detail)
        assert "nothing is selected and OctoPrint remembers no print, as after a restart of OctoPrint" in detail
        assert "It was last seen at 20" in detail
        assert "Z: Printing, " in detail
        assert "OctoPrint did not answer from 20" in detail
        assert detail.endswith("Look at the bed.")
        assert attempt.evidence["last_seen"]["completion"] > 0  # type: ignore[index]
        assert attempt.evidence["octoprint_log"] is None  # the bridge's user may not read it
