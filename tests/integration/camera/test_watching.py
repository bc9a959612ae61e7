"""Watching for trouble: what is found, kept with its picture, ended, and forgotten."""

from pathlib import Path

import pytest

from fluxprint_common.ids import new_id
from fluxprint_common.prints import PrintState
from support.pictures import black, scene
from support.watching import At, Workshop

MOVING = [scene(head_x=100), scene(head_x=300)]
STILL = scene()
DARK = black()
SPAGHETTI = {"spaghetti": 0.93, "stringing": 0.2}


class TestPictures:
    async def test_that_stand_still_while_something_prints_are_kept_and_end(
        self, at: At, workshop: Workshop, tmp_path: Path
    ) -> None:
        await at.show(*MOVING, *[STILL] * 15)
        [found] = await workshop.decisions()
        assert (found["kind"], found["action"], found["ended_at"]) == ("frozen", "notify", None)
        assert (found["attempt_id"], found["job_id"]) == (at.running.attempt_id, at.running.job_id)
        assert (tmp_path / str(found["picture"])).read_bytes() == STILL
        await at.show(*[STILL] * 20)
        assert await workshop.kinds() == [("frozen", None)]  # once
        await at.show(*MOVING)
        assert await workshop.kinds() == [("frozen", "cleared")]

    async def test_that_are_black_are_kept_whatever_prints(self, at: At, workshop: Workshop) -> None:
        await at.show(*MOVING, *[DARK] * 8)
        workshop.prints.end(at.running)
        await at.show(DARK)
        assert await workshop.kinds() == [("black", None)]
        await at.show(*MOVING * 2, every_s=61)
        assert await workshop.kinds() == [("black", "cleared")]

    async def test_that_move_are_no_trouble(self, at: At, workshop: Workshop) -> None:
        await at.show(*MOVING * 15)
        assert await workshop.decisions() == []

    async def test_that_are_none_are_passed_over(self, at: At, workshop: Workshop) -> None:
        await at.show(*[b"\xff\xd8\xff nothing"] * 3, *[DARK] * 6)
        assert await workshop.kinds() == [("black", None)]

    async def test_are_asked_for_at_a_low_rate_and_of_prints_only(self, at: At, workshop: Workshop) -> None:
        assert at.uplink.wanted_fps == pytest.approx(0.2)
        workshop.prints.end(at.running)
        await at.replica.step()
        workshop.clock.now += 10
        at.replica.hub.sweep()
        assert at.uplink.wanted_fps == 0

    async def test_of_idle_cameras_are_looked_at_as_they_come(self, workshop: Workshop) -> None:
        replica, camera = workshop.replica(watch_frozen_idle_after_s=300), await workshop.camera()
        uplink = replica.connect(camera)
        await workshop.show(replica, uplink, *[scene(noise=20) for _ in range(8)], every_s=61)
        assert await workshop.decisions() == []
        await workshop.show(replica, uplink, *[STILL] * 8, every_s=61)
        assert await workshop.kinds() == [("frozen", None)]
        assert [row["attempt_id"] for row in await workshop.decisions()] == [None]
        assert uplink.wanted_fps == 0


class TestNoPicture:
    async def test_of_a_bridge_that_went_is_missed_and_comes_back(self, at: At, workshop: Workshop) -> None:
        await at.show(*MOVING)
        at.replica.disconnect()
        await self.seen_ago(workshop, 30)
        await workshop.wait(at.replica, 100)
        assert await workshop.decisions() == []
        await self.seen_ago(workshop, 120)
        await at.replica.step()
        [found] = await workshop.decisions()
        assert (found["kind"], found["attempt_id"], found["picture"]) == ("no_picture", at.running.attempt_id, None)
        at.uplink = at.replica.connect(at.camera)
        await at.show(*MOVING)
        await at.replica.step()
        assert await workshop.kinds() == [("no_picture", "cleared")]

    async def test_of_a_camera_that_never_gave_one_is_missed(self, workshop: Workshop) -> None:
        replica, camera = workshop.replica(), await workshop.camera()
        workshop.prints.begin(workshop.organisation_id, camera.printer_id)
        await workshop.wait(replica, 55)
        assert await workshop.decisions() == []
        await workshop.wait(replica, 20)
        assert await workshop.kinds() == [("no_picture", None)]

    async def test_is_not_missed_where_nothing_prints_or_there_is_no_camera(self, workshop: Workshop) -> None:
        replica = workshop.replica()
        await workshop.camera()
        workshop.prints.begin(workshop.organisation_id, new_id())
        await workshop.wait(replica, 200)
        assert await workshop.decisions() == []

    async def test_is_not_missed_by_a_service_that_was_away_itself(self, at: At, workshop: Workshop) -> None:
        await at.show(*MOVING)
        await at.replica.step()
        at.replica.disconnect()
        await self.seen_ago(workshop, 3600)
        newcomer = workshop.replica()
        await workshop.wait(newcomer, 50)
        workshop.clock.now += 300  # its database was away
        await workshop.wait(newcomer, 50)
        assert await workshop.decisions() == []

    async def test_is_not_missed_by_another_replica_while_one_has_it(self, at: At, workshop: Workshop) -> None:
        other = workshop.replica()
        for _ in range(10):
            await at.show(*MOVING)
            await other.step()
        assert await workshop.decisions() == []

    async def test_is_missed_once_by_two_replicas(self, at: At, workshop: Workshop) -> None:
        other = workshop.replica()
        await at.show(*MOVING)
        await at.replica.step()
        at.replica.disconnect()
        await self.seen_ago(workshop, 600)
        for _ in range(20):
            workshop.clock.now += 5
            await at.replica.step()
            await other.step()
        assert await workshop.kinds() == [("no_picture", None)]

    @staticmethod
    async def seen_ago(workshop: Workshop, seconds: int) -> None:
        sql = "UPDATE camera.sighting SET seen_at = now() - make_interval(secs => :seconds)"
        await workshop.change(sql, seconds=seconds)


class TestDetector:
    async def test_decides_after_a_while_and_says_by_what(self, at: At, workshop: Workshop, tmp_path: Path) -> None:
        at.replica.scorer.said = SPAGHETTI
        await at.show(*MOVING * 3)
        assert await workshop.decisions() == []
        await at.show(*MOVING)
        await at.show(*MOVING * 5)
        [found] = await workshop.decisions()
        assert (found["kind"], found["label"], found["value"], found["threshold"]) == (
            "failure",
            "spaghetti",
            0.93,
            0.8,
        )
        assert (found["scores"], found["model"], found["model_version"]) == (
            SPAGHETTI, "model.onnx", "0123456789abcdef",
        )  # fmt: skip
        assert (tmp_path / str(found["picture"])).read_bytes() in MOVING
        at.replica.scorer.said = {"spaghetti": 0.6}
        await at.show(*MOVING * 10)
        assert await workshop.kinds() == [("failure", None)]  # neither one nor the other
        at.replica.scorer.said = {"spaghetti": 0.1}
        await at.show(*MOVING * 10)
        assert await workshop.kinds() == [("failure", "cleared")]

    async def test_is_asked_at_its_own_rate_about_new_pictures(self, at: At, workshop: Workshop) -> None:
        at.replica.scorer.said = {}
        await at.show(*MOVING * 4)  # 40 s
        assert len(at.replica.scorer.pictures) == 4
        await workshop.wait(at.replica, 60)
        assert len(at.replica.scorer.pictures) == 5  # the last one had not been scored
        assert await workshop.decisions() == []

    async def test_that_fails_stops_nothing(self, at: At, workshop: Workshop) -> None:
        await at.show(*MOVING, *[DARK] * 8)
        assert at.replica.scorer.pictures
        assert await workshop.kinds() == [("black", None)]

    async def test_says_nothing_about_the_time_in_which_it_failed(self, at: At, workshop: Workshop) -> None:
        at.replica.scorer.said = SPAGHETTI
        await at.show(*MOVING)
        at.replica.scorer.said = None
        await at.show(*MOVING * 6)
        at.replica.scorer.said = SPAGHETTI
        await at.show(*MOVING)
        assert await workshop.decisions() == []
        await at.show(*MOVING * 4)
        assert await workshop.kinds() == [("failure", None)]

    async def test_that_is_slow_decides_by_three_scores(self, workshop: Workshop) -> None:
        replica, camera = workshop.replica(detector_interval_s=50), await workshop.camera()
        at = At(workshop, replica, camera, replica.connect(camera))
        await replica.step()
        replica.scorer.said = SPAGHETTI
        await at.show(*MOVING * 8)
        assert (len(replica.scorer.pictures), await workshop.decisions()) == (2, [])
        await at.show(*MOVING * 3)
        assert (len(replica.scorer.pictures), await workshop.kinds()) == (3, [("failure", None)])

    async def test_decides_nothing_where_that_is_off(self, at: At, workshop: Workshop) -> None:
        await workshop.policy(failure="off", black="off")
        at.replica.scorer.said = SPAGHETTI
        await at.replica.step()
        await at.show(*MOVING * 6, *[DARK] * 8)
        assert at.replica.scorer.pictures == []
        assert await workshop.decisions() == []


class TestPauses:
    async def test_are_wanted_where_a_person_said_so_and_once_for_a_print(self, at: At, workshop: Workshop) -> None:
        await workshop.policy(failure="pause")
        at.replica.scorer.said = SPAGHETTI
        await at.show(*MOVING * 8)
        at.replica.scorer.said = {"spaghetti": 0.0}
        await at.show(*MOVING * 8)
        at.replica.scorer.said = SPAGHETTI
        await at.show(*MOVING * 8)
        found = await workshop.decisions()
        assert [(row["action"], row["ordered_by"] is not None) for row in found] == [("pause", True), ("notify", False)]

    async def test_are_wanted_once_by_two_cameras_of_a_printer(self, at: At, workshop: Workshop) -> None:
        await workshop.policy(failure="pause")
        second = await workshop.camera(printer_id=at.camera.printer_id, key="nozzle")
        uplink = at.replica.connect(second)
        at.replica.scorer.said = SPAGHETTI
        for picture in MOVING * 8:
            await at.show(picture)
            await workshop.show(at.replica, uplink, picture, every_s=0)
        assert sorted(str(row["action"]) for row in await workshop.decisions()) == ["notify", "pause"]

    async def test_are_not_wanted_by_default(self, at: At, workshop: Workshop) -> None:
        at.replica.scorer.said = SPAGHETTI
        await at.show(*MOVING * 8)
        assert [row["action"] for row in await workshop.decisions()] == ["notify"]


class TestEnds:
    async def test_with_its_print(self, at: At, workshop: Workshop) -> None:
        at.replica.scorer.said = SPAGHETTI
        await at.show(*MOVING * 8)
        workshop.prints.end(at.running)
        await at.replica.step()
        assert await workshop.kinds() == [("failure", "print_ended")]

    async def test_with_a_print_that_ended_while_nobody_looked(self, at: At, workshop: Workshop) -> None:
        at.replica.scorer.said = SPAGHETTI
        await at.show(*MOVING * 4)
        del workshop.prints.prints[at.running.attempt_id]
        newcomer = workshop.replica()
        await newcomer.step()  # asks what became of it
        await newcomer.step()
        assert await workshop.kinds() == [("failure", "print_ended")]

    async def test_and_is_found_again_at_the_next_print(self, at: At, workshop: Workshop) -> None:
        at.replica.scorer.said = SPAGHETTI
        await at.show(*MOVING * 8)
        at.replica.close()
        del workshop.prints.prints[at.running.attempt_id]
        workshop.prints.forget()
        workshop.prints.begin(workshop.organisation_id, at.camera.printer_id)
        newcomer = workshop.replica()
        uplink = newcomer.connect(at.camera)
        newcomer.scorer.said = SPAGHETTI
        await newcomer.step()  # asks what became of the other print
        await workshop.show(newcomer, uplink, *MOVING * 8)
        assert await workshop.kinds() == [("failure", "print_ended"), ("failure", None)]

    async def test_not_while_the_print_is_paused(self, at: At, workshop: Workshop) -> None:
        at.replica.scorer.said = SPAGHETTI
        await at.show(*MOVING * 8)
        paused = workshop.prints.put(at.running.model_copy(update={"state": PrintState.PAUSED}))
        await at.show(*MOVING * 3)
        workshop.prints.put(paused.model_copy(update={"state": PrintState.PRINTING}))
        await at.show(*MOVING * 8)
        assert await workshop.kinds() == [("failure", None)]

    async def test_when_it_is_switched_off(self, at: At, workshop: Workshop) -> None:
        await at.show(*[DARK] * 8)
        await workshop.policy(black="off")
        await at.show(DARK)
        assert await workshop.kinds() == [("black", "switched_off")]
        await workshop.policy(black="notify")
        await at.show(*[DARK] * 6)
        assert await workshop.kinds() == [("black", "switched_off"), ("black", None)]

    async def test_at_the_process_that_comes_after(self, at: At, workshop: Workshop) -> None:
        await at.show(*[DARK] * 8)
        at.replica.close()
        newcomer = workshop.replica()
        uplink = newcomer.connect(at.camera)
        await newcomer.step()
        await workshop.show(newcomer, uplink, *[DARK] * 2)
        assert await workshop.kinds() == [("black", None)]
        await workshop.show(newcomer, uplink, *MOVING * 3)
        assert await workshop.kinds() == [("black", "cleared")]
