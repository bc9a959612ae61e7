"""A permit that comes with the claim: used at once, lost on its way, or overtaken by somebody at the printer."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from fluxprint_bridge import clock
from fluxprint_bridge.cloud.api import PLAINLY_S, CloudApi
from fluxprint_local.octoprint import OctoPrint
from support import by_hand
from support.bridge import BridgeProcess, running_bridge
from support.fake_cloud import BRIDGE_TOKEN, Attempt, FakeCloud
from support.octoprint import slow_gcode
from support.staging import prints_from, staged_for_its_bed


async def offered(cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint) -> tuple[Attempt, str]:
    """A job whose file is staged, and a bridge that knows it, at a queue whose claims wait and bring permits along."""
    cloud.grants = True
    attempt, path = await staged_for_its_bed(cloud, octoprint, slow_gcode(0.3))
    await bridge.until_logged('"staged"')
    await cloud.until_called("waits:ready")
    return attempt, path


class TestGrants:
    async def test_it_starts_without_asking_for_another(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt, path = await offered(cloud, bridge, octoprint)
        await prints_from(path, cloud, octoprint, attempt)
        assert ("granted" in cloud.calls, cloud.calls.count("permit")) == (True, 0)

    async def test_when_it_is_given_and_not_received(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt, path = await offered(cloud, bridge, octoprint)
        cloud.once("granted", bridge.restart)
        await prints_from(path, cloud, octoprint, attempt)
        assert cloud.calls.count("permit") == 1

    async def test_a_print_by_hand_that_came_first_takes_it_back(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        await by_hand.upload(octoprint, "by_hand.gcode", slow_gcode(20))
        attempt, path = await offered(cloud, bridge, octoprint)
        cloud.once("granted", lambda: by_hand.start(octoprint, "by_hand.gcode"))
        await cloud.clear_bed()
        await cloud.until_state(attempt, "released")
        assert octoprint.starts(path) == 0
        assert cloud.beds[cloud.printer_id] == "occupied"

    async def test_a_queue_that_does_not_know_them_is_asked_as_it_understands(
        self, own_cloud: FakeCloud, octoprint: OctoPrint, tmp_path: Path
    ) -> None:
        own_cloud.knows_grants = False
        async with running_bridge(tmp_path, cloud_url=own_cloud.url, octoprint=octoprint):
            attempt, path = await staged_for_its_bed(own_cloud, octoprint, slow_gcode(0.3))
            await own_cloud.until(lambda: "claim:refused" in own_cloud.calls)
            await prints_from(path, own_cloud, octoprint, attempt)
        assert (own_cloud.calls.count("claim:refused"), own_cloud.calls.count("permit")) == (1, 1)

    async def test_that_queue_is_updated_one_day(self, own_cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch) -> None:
        async def claim() -> None:
            await api.claim(own_cloud.printer_id, journal_id="1", staged=None, adopt_only=False, wait_s=0.1)

        async with CloudApi(f"{own_cloud.url}/api/v1", SecretStr(BRIDGE_TOKEN)) as api:
            own_cloud.knows_grants = False
            await claim()
            await claim()
            assert own_cloud.calls.count("claim:refused") == 1
            now = clock.now()
            monkeypatch.setattr(clock, "now", lambda: now + PLAINLY_S)
            await claim()
            assert own_cloud.calls.count("claim:refused") == 2
