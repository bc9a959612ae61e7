"""The cloud is away, slow, or reached over Redis; and the bridge is stopped politely."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.asyncio.client import PubSub

from fluxprint_bridge.cloud import link
from fluxprint_bridge.cloud.api import CloudApi
from fluxprint_bridge.cloud.link import taken_over_pause_s
from fluxprint_bridge.cloud.telemetry import TelemetrySlots
from fluxprint_local.octoprint import OctoPrint
from support import by_hand
from support.bridge import BridgeProcess, running_bridge
from support.fake_cloud import BRIDGE_TOKEN, Attempt, FakeCloud
from support.gate import gate_to
from support.octoprint import slow_gcode

STANDS_BACK = "does another bridge use this token?"


class TestCloudAway:
    async def test_a_print_goes_on_and_its_reports_arrive_later_in_order(
        self, own_cloud: FakeCloud, octoprint: OctoPrint, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        cloud = own_cloud
        folder = tmp_path_factory.mktemp("away")
        async with (
            gate_to(cloud.url) as gate,
            running_bridge(folder, cloud_url=gate.url, octoprint=octoprint) as bridge,
        ):
            attempt = await cloud.printing(slow_gcode(2))
            await gate.shut()
            await by_hand.press(octoprint, "pause")
            await bridge.until_logged("print_paused")
            await by_hand.press(octoprint, "resume")
            await bridge.until_logged('"outcome": "completed"')
            # Even a bridge that is killed now has it all in its journal.
            await bridge.restart()
            assert attempt.state == "printing"
            await gate.open()
            await cloud.until_state(attempt, "completed")
        assert attempt.reports == ["started", "paused", "resumed", "completed"]
        assert octoprint.starts(attempt.path) == 1

    async def test_a_token_that_ends_is_replaced(self, cloud: FakeCloud, bridge: BridgeProcess) -> None:
        await cloud.until(lambda: cloud.links)
        await cloud.links[0].close(4401)
        await cloud.until(lambda: "link" in cloud.calls)
        attempt = await cloud.add_job(slow_gcode(0.3))
        await cloud.until_state(attempt, "completed")


class TestLease:
    async def test_it_is_renewed_while_the_file_travels(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        cloud.lease_s = 1.0

        async def wait_for_renewals() -> None:
            await cloud.until(lambda: cloud.calls.count("lease") >= 2)

        cloud.before_answer["file"] = wait_for_renewals
        attempt = await cloud.add_job(slow_gcode(0.3))
        await cloud.until_state(attempt, "completed")

    async def test_a_lost_lease_is_let_go(self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint) -> None:
        cloud.lease_s = 1.0
        lost = asyncio.Event()

        async def expire() -> None:
            attempt.state = "released"

        cloud.before_answer = {"lease": expire, "file": lost.wait}
        attempt = await cloud.add_job(slow_gcode(0.3))
        await bridge.until_logged("lease_lost")
        cloud.before_answer.clear()
        lost.set()
        following = await cloud.add_job(slow_gcode(0.3))
        await cloud.until_state(following, "completed")
        assert octoprint.starts(attempt.path) == 0


class TestReport:
    async def test_an_outcome_whose_words_are_refused_is_told_without_them(
        self, cloud: FakeCloud, bridge: BridgeProcess
    ) -> None:
        cloud.takes_evidence = False
        attempt = await cloud.add_job(slow_gcode(0.3))
        await cloud.until_state(attempt, "completed")
        assert attempt.evidence == {}


class TestTakenOver:
    """Another process adopted the attempt: a report is refused for its fence, and kept."""

    async def test_a_print_is_adopted_again_without_haste(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt = await cloud.printing(slow_gcode(2))
        cloud.take_over(attempt)
        claims = cloud.calls.count("claim")
        await by_hand.press(octoprint, "pause")
        await bridge.until_logged(STANDS_BACK)
        seen = len(cloud.telemetry)
        await cloud.until(lambda: len(cloud.telemetry) > seen)
        assert cloud.calls.count("claim") <= claims + 1
        await cloud.ring("work")
        await cloud.until_state(attempt, "paused")
        await by_hand.press(octoprint, "resume")
        await cloud.until_state(attempt, "completed")
        assert attempt.reports == ["started", "paused", "resumed", "completed"]
        assert octoprint.starts(attempt.path) == 1

    async def test_an_outcome_is_told_with_the_new_fence(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt = await cloud.printing(slow_gcode(2))
        cloud.take_over(attempt)
        await bridge.until_logged(STANDS_BACK)
        bridge.forget_log()
        octoprint.freeze()  # without the printer's state nothing is asked: that must not cost a second stand-back
        try:
            await bridge.restart()  # it is in the journal still
            await bridge.until_logged(STANDS_BACK)
            await cloud.ring("work")
            await cloud.until(lambda: cloud.now.get("connection") == "octoprint_offline")
        finally:
            octoprint.thaw()
        await cloud.until_state(attempt, "completed")
        assert bridge.times_logged(STANDS_BACK) == 1
        assert attempt.reports == ["started", "completed"]
        await cloud.clear_bed()
        following = await cloud.add_job(slow_gcode(0.3))
        await cloud.until_state(following, "completed")

    async def test_what_another_process_ended_is_dropped(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt = await cloud.printing(slow_gcode(2))
        cloud.take_over(attempt)
        await bridge.until_logged(STANDS_BACK)
        attempt.state = "failed"
        await cloud.clear_bed()
        following = await cloud.add_job(slow_gcode(0.3))
        await cloud.until_state(following, "completed")

    async def test_nothing_was_started_is_no_longer_told_once_another_has_the_permit(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def while_another_gets_the_permit(attempt: Attempt, body: dict[str, object]) -> None:
            monkeypatch.undo()
            attempt.move("starting")
            cloud.take_over(attempt)
            cloud.report(attempt, body)

        cloud.enabled = False
        attempt = await cloud.add_job(slow_gcode(0.3))
        monkeypatch.setattr(cloud, "report", while_another_gets_the_permit)
        attempt.state, attempt.journal_id = "claimed", "another"
        await cloud.ring("work")
        await bridge.until_logged(STANDS_BACK)
        await cloud.ring("work")
        await cloud.until_state(attempt, "unknown", "released")
        assert attempt.reports == ["unknown"]


class TestLinkTakenOver:
    """Another process connected with this bridge's token: the link closes with 4409."""

    async def test_what_prints_is_watched_and_told_and_nothing_new_is_taken(
        self, own_cloud: FakeCloud, octoprint: OctoPrint, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        cloud, folder = own_cloud, tmp_path_factory.mktemp("standing-back")
        async with running_bridge(folder, cloud_url=cloud.url, octoprint=octoprint) as bridge:
            attempt = await cloud.printing(slow_gcode(2))
            await cloud.links[0].close(4409)
            await bridge.until_logged("another_bridge_has_this_token")
            await cloud.until_state(attempt, "completed")
            cloud.beds[cloud.printer_id] = "clear"
            waiting = await cloud.add_job(slow_gcode(0.3))
            claims = cloud.calls.count("claim")
            await asyncio.sleep(3)  # it would ask each second
            assert (waiting.state, cloud.calls.count("claim")) == ("queued", claims)

    async def test_each_pause_is_longer_and_then_it_connects_again(
        self, own_cloud: FakeCloud, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pauses: list[float] = []
        heard: list[bool] = []

        def short(times_before: int) -> float:
            pauses.append(taken_over_pause_s(times_before))
            return 0.05

        monkeypatch.setattr(link, "taken_over_pause_s", short)
        async with CloudApi(f"{own_cloud.url}/api/v1", SecretStr(BRIDGE_TOKEN)) as api:
            web = link.WebSocketLink(
                api.url, api.token, TelemetrySlots(), ring=lambda _printer, _reason: None, stand_back=heard.append
            )
            running = asyncio.create_task(web.run())
            try:
                for times in (1, 2):
                    await own_cloud.until(lambda: own_cloud.links)
                    await own_cloud.links[0].close(4409)
                    await own_cloud.until(lambda times=times: own_cloud.calls.count("link") > times)  # type: ignore[misc]
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)
        assert pauses == [60, 120]
        assert heard == [True, False, True, False]
        assert taken_over_pause_s(20) == 900


class TestStop:
    async def test_a_print_goes_on_without_the_bridge(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        attempt = await cloud.printing(slow_gcode(3))
        assert await bridge.stop() == 0
        assert await octoprint.state() == "Printing"
        await bridge.start()
        await cloud.until_state(attempt, "completed")
        assert octoprint.starts(attempt.path) == 1

    async def test_what_was_not_started_is_given_back(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        hold = cloud.hold("file")
        attempt = await cloud.add_job(slow_gcode(1))
        await hold.caught.wait()
        assert await bridge.stop() == 0
        hold.release()
        assert (attempt.state, attempt.reason) == ("released", "bridge_stopping")
        assert octoprint.starts(attempt.path) == 0

    async def test_a_second_bridge_in_the_same_folder_is_refused(
        self, cloud: FakeCloud, bridge: BridgeProcess, octoprint: OctoPrint
    ) -> None:
        await cloud.until(lambda: cloud.links)
        async with running_bridge(bridge.folder, cloud_url=cloud.url, octoprint=octoprint) as second:
            assert await second.ended() == 75
            assert second.logged("another bridge works in")


class TestRedisLink:
    @pytest.fixture
    async def redis(self, redis_url: str) -> AsyncIterator[Redis]:
        async with Redis.from_url(redis_url) as redis:
            yield redis

    async def test_doorbells_and_telemetry_without_a_websocket(
        self,
        own_cloud: FakeCloud,
        octoprint: OctoPrint,
        redis: Redis,
        redis_url: str,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> None:
        folder = tmp_path_factory.mktemp("redis-link")
        settings = {"BRIDGE_REDIS_URL": redis_url, "BRIDGE_POLL_S": "300"}
        async with redis.pubsub(ignore_subscribe_messages=True) as pubsub:
            await pubsub.subscribe(f"fluxprint:telemetry:{own_cloud.bridge_id}")
            async with running_bridge(
                folder, cloud_url=own_cloud.url, octoprint=octoprint, settings=settings
            ) as bridge:
                await bridge.until_logged("redis_link_connected")
                await bridge.until_logged("octoprint_answers")
                attempt = await own_cloud.add_job(slow_gcode(1))
                claims = own_cloud.calls.count("claim")
                while own_cloud.calls.count("claim") == claims:
                    bell = {"type": "doorbell", "printer_id": own_cloud.printer_id, "reason": "work"}
                    await redis.publish(f"fluxprint:bridge:{own_cloud.bridge_id}", json.dumps(bell))
                    await asyncio.sleep(0.1)
                await own_cloud.until_state(attempt, "completed")
            heard = [json.loads(data) for data in await _heard(pubsub)]
        assert not own_cloud.links
        assert {"type", "printer_id", "data"} == set(heard[0])
        assert any(message["data"]["attempt_id"] == attempt.id for message in heard)


async def _heard(pubsub: PubSub) -> list[bytes]:
    messages: list[bytes] = []
    while (message := await pubsub.get_message(timeout=0.5)) is not None or not messages:
        if message is not None:
            messages.append(message["data"])
    return messages
