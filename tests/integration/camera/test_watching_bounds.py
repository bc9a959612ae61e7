"""What watching keeps at most: of decisions, of their pictures, and for how long."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from fluxprint_camera.watching import repository, service, storage
from fluxprint_common.ids import new_id
from support.pictures import black, endless, scene
from support.watching import At, Workshop

MOVING = [scene(head_x=100), scene(head_x=300)]
DARK = black()
SPAGHETTI = {"spaghetti": 0.93, "stringing": 0.2}


class TestBounds:
    async def test_of_decisions_in_an_hour(self, workshop: Workshop) -> None:
        replica, camera = workshop.replica(watch_max_per_hour=2), await workshop.camera()
        at = At(workshop, replica, camera, replica.connect(camera))
        await replica.step()
        for _ in range(4):
            await at.show(*[DARK] * 6, *MOVING * 2)
        assert len(await workshop.decisions()) == 2
        assert len(list((workshop.folder / "pictures").rglob("*.*"))) == 2

    async def test_of_an_hour_keep_no_print_from_being_paused(self, workshop: Workshop) -> None:
        await workshop.policy(failure="pause")
        replica, camera = workshop.replica(watch_max_per_hour=2), await workshop.camera()
        at = At(workshop, replica, camera, replica.connect(camera))
        await replica.step()
        for _ in range(3):  # a light that flickers
            await at.show(*[DARK] * 6, *MOVING * 2)
        for _ in range(2):
            replica.scorer.said = SPAGHETTI
            await at.show(*MOVING * 8)
            replica.scorer.said = {"spaghetti": 0.0}
            await at.show(*MOVING * 8)
        kept = [(row["kind"], row["action"]) for row in await workshop.decisions()]
        assert kept == [("black", "notify"), ("black", "notify"), ("failure", "pause")]

    async def test_of_an_hour_hold_for_pauses_that_come_too_late_again_and_again(self, workshop: Workshop) -> None:
        await workshop.policy(failure="pause")
        replica, camera = workshop.replica(watch_max_per_hour=2), await workshop.camera()
        at = At(workshop, replica, camera, replica.connect(camera))
        replica.scorer.said = SPAGHETTI
        await replica.step()
        for _ in range(5):
            await at.show(*MOVING * 5)
            sql = "UPDATE camera.decision SET outcome = 'too_late', ended_at = now() WHERE ended_at IS NULL"
            await workshop.change(sql)
        assert [row["action"] for row in await workshop.decisions()] == ["pause", "pause"]

    async def test_of_days(self, at: At, workshop: Workshop, tmp_path: Path) -> None:
        await at.show(*[DARK] * 8, *MOVING * 2, *[DARK] * 8)
        old, new = await workshop.decisions()
        sql = "UPDATE camera.decision SET created_at = now() - interval '91 days' WHERE id = :id"
        await workshop.change(sql, id=old["id"])
        day = tmp_path / "pictures" / "decisions"
        (day / "2026-01-02").mkdir()
        (day / "2026-01-02" / "old.jpg").write_bytes(DARK)
        await at.replica.records.tidy()
        assert [row["id"] for row in await workshop.decisions()] == [new["id"]]
        assert not (day / "2026-01-02").exists()
        assert (tmp_path / str(new["picture"])).is_file()

    async def test_of_work_for_one_camera(self, at: At, workshop: Workshop) -> None:
        await workshop.policy(frozen="off")
        other = await workshop.camera()
        workshop.prints.begin(workshop.organisation_id, other.printer_id)
        dear, pictures, looked_at = endless(width=3870, height=3870, scans=64), 20, at.replica.records.metrics.pictures
        uplink = at.replica.connect(other)
        await at.replica.step()
        before = looked_at._value.get()
        for _ in range(pictures // 4):
            await workshop.show(at.replica, uplink, *[dear] * 4)
        assert 1 <= looked_at._value.get() - before < pictures * 0.6
        missed = [(row["kind"], row["camera_id"]) for row in await workshop.decisions()]
        assert missed == [("no_picture", at.camera.id)]  # which shows nothing

    async def test_of_what_pictures_take(self, workshop: Workshop) -> None:
        two = 2 * max(len(DARK), repository.BLOCK_BYTES)
        replica, camera = workshop.replica(watch_pictures_bytes=two), await workshop.camera()
        await workshop.policy(frozen="off")
        at = At(workshop, replica, camera, replica.connect(camera))
        await replica.step()
        for _ in range(4):
            await at.show(*[DARK] * 8, *MOVING * 2)
        assert all(row["picture"] for row in await workshop.decisions())  # whether there is one is still to be told
        await workshop.change("UPDATE camera.decision SET told_at = now()")
        await at.show(*[DARK] * 8, *MOVING * 2)
        kept = [row["picture"] for row in await workshop.decisions()]
        assert [name is not None for name in kept] == [False, False, False, True, True]
        files = {path.relative_to(workshop.folder) for path in (workshop.folder / "pictures").rglob("*.*")}
        assert files == {Path(str(name)) for name in kept if name}

    async def test_of_pictures_of_a_camera_that_was_forgotten(
        self, at: At, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = await workshop.camera()
        await at.show(*[DARK] * 8, *MOVING * 2)
        await workshop.show(at.replica, at.replica.connect(other), *[DARK] * 8, every_s=60)
        gone, kept = [workshop.folder / str(row["picture"]) for row in await workshop.decisions()]
        half_written = gone.with_name(f"{new_id().hex}.part")
        half_written.write_bytes(DARK)
        await workshop.change("DELETE FROM camera.camera WHERE id = :id", id=at.camera.id)
        await at.replica.records.tidy()
        assert gone.exists()  # its decision may be about to come
        assert half_written.exists()
        monkeypatch.setattr(storage, "SETTLED_S", -1.0)
        await at.replica.records.tidy()
        assert [path.exists() for path in (gone, half_written, kept)] == [False, False, True]

    async def test_of_policies_of_printers_that_are_gone(self, at: At, workshop: Workshop) -> None:
        await workshop.policy()
        await workshop.policy(printer_id=at.camera.printer_id)
        await workshop.policy(printer_id=new_id())
        await workshop.policy(printer_id=new_id(), updated_at=datetime.now(UTC))
        await at.replica.records.tidy()
        assert len(await workshop.policies()) == 3

    async def test_of_the_disk_leave_the_decision(self, at: At, workshop: Workshop) -> None:
        at.replica.pictures._reserve_bytes = 2**60
        await at.show(*[DARK] * 8)
        assert [(row["kind"], row["picture"]) for row in await workshop.decisions()] == [("black", None)]

    async def test_of_the_database_only_delay(
        self, at: At, workshop: Workshop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def away(*_args: object, **_more: object) -> bool:
            raise ConnectionError("it is away")

        with monkeypatch.context() as patch:
            patch.setattr(service, "decide", away)
            await at.show(*[DARK] * 8)
        assert await workshop.decisions() == []
        await at.show(*[DARK] * 6)
        assert await workshop.kinds() == [("black", None)]
