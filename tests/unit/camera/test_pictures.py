"""Pictures are made smaller for all organisations in turn."""

import threading
from asyncio import create_task, gather, sleep
from datetime import UTC, datetime

import pytest

from fluxprint_bridge.camera.faults import Reason
from fluxprint_camera.relay.frame import Frame
from fluxprint_camera.viewers import drawing
from fluxprint_camera.viewers import pictures as module
from fluxprint_camera.viewers.pictures import MAX_WAITING_OF_ORGANISATION, Pictures, PicturesBusy, Width
from fluxprint_common.ids import new_id


def frame() -> Frame:
    return Frame.of(b"picture", sequence=1, captured_at=datetime.now(UTC))


class TestWaiting:
    async def test_of_one_organisation_leaves_room_for_others(self, monkeypatch: pytest.MonkeyPatch) -> None:
        goes_on = threading.Event()

        def narrow(jpeg: memoryview, width: int) -> bytes:
            goes_on.wait(30)
            return bytes(jpeg)

        monkeypatch.setattr(module, "_narrow", narrow)
        pictures, one, other = Pictures(), new_id(), new_id()
        frames = [frame() for _ in range(MAX_WAITING_OF_ORGANISATION)]
        made = [create_task(pictures.narrowed(each, Width.W160, organisation_id=one)) for each in frames]
        await sleep(0)
        with pytest.raises(PicturesBusy):
            await pictures.narrowed(frame(), Width.W160, organisation_id=one)
        neighbours = create_task(pictures.narrowed(frame(), Width.W160, organisation_id=other))
        await sleep(0)
        goes_on.set()
        assert set(await gather(*made, neighbours)) == {b"picture"}
        assert await pictures.narrowed(frame(), Width.W160, organisation_id=one) == b"picture"
        pictures.close()


class TestPlacards:
    async def test_are_drawn_once_for_all_who_ask_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        drawn: list[str] = []

        def write(text: str) -> bytes:
            drawn.append(text)
            return b"placard"

        monkeypatch.setattr(drawing, "write", write)
        pictures = Pictures()
        placards = await gather(*(pictures.placard("frozen") for _ in range(20)))
        assert (len(set(map(id, placards))), len(drawn)) == (1, 1)
        assert await pictures.placard("frozen") is placards[0]
        pictures.close()

    async def test_that_could_not_be_drawn_are_tried_again(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(_text: str) -> bytes:
            raise OSError("no room")

        pictures = Pictures()
        with monkeypatch.context() as patch:
            patch.setattr(drawing, "write", fail)
            with pytest.raises(OSError, match="no room"):
                await pictures.placard("frozen")
        assert bytes((await pictures.placard("frozen")).jpeg[:2]) == b"\xff\xd8"
        pictures.close()

    def test_have_words_for_all_that_a_bridge_may_say(self) -> None:
        assert {str(reason) for reason in Reason} <= set(module._TEXTS)
