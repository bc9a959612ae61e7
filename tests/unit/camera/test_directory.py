"""What replicas believe of each other, and for how long."""

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from fluxprint_camera.relay.status import NO_PICTURES, Status
from fluxprint_camera.replicas.directory import Directory
from fluxprint_camera.replicas.messages import Has, Wants, camera_of, channel_of, pack, unpack
from fluxprint_common.ids import new_id
from support.camera import Clock, frame

CAMERA, ORGANISATION = new_id(), new_id()


def has(*, began_at: float = 1.0, online: bool = True, trouble: str | None = None) -> Has:
    return Has(
        camera_id=CAMERA, organisation_id=ORGANISATION, began_at=began_at, online=online, trouble=trouble,
        fps=15, viewers=2, last_frame_at=None,
    )  # fmt: skip


def wants(fps: float, *, viewers: int = 1, first: bool = False) -> Wants:
    return Wants(camera_id=CAMERA, fps=fps, viewers=viewers, first=first)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def directory(clock: Clock) -> Directory:
    return Directory(believed_s=3, clock=clock)


class TestOwner:
    def test_is_believed_for_a_while_and_shown_to_its_organisation_only(
        self, directory: Directory, clock: Clock
    ) -> None:
        directory.take_has(new_id(), has())
        live = directory.look(camera_id=CAMERA, organisation_id=ORGANISATION)
        assert live is not None
        assert (live.online, live.connected, live.viewers) == (True, True, 2)
        assert directory.look(camera_id=CAMERA, organisation_id=new_id()) is None
        clock.now += 3
        assert directory.look(camera_id=CAMERA, organisation_id=ORGANISATION) is None

    @pytest.mark.parametrize(("trouble", "reason"), [("frozen", "frozen"), (None, NO_PICTURES)])
    def test_says_why_there_is_no_picture(self, directory: Directory, trouble: str | None, reason: str) -> None:
        directory.take_has(new_id(), has(online=False, trouble=trouble))
        live = directory.look(camera_id=CAMERA, organisation_id=ORGANISATION)
        assert live is not None
        assert live.status == Status(reason)

    def test_of_two_is_who_has_the_younger_uplink(self, directory: Directory) -> None:
        old, young = new_id(), new_id()
        directory.take_has(young, has(began_at=2))
        directory.take_has(old, has(began_at=1))
        assert self.owner(directory) == young
        directory.take_gone(old, CAMERA)
        assert self.owner(directory) == young
        directory.take_gone(young, CAMERA)
        assert self.owner(directory) is None

    @staticmethod
    def owner(directory: Directory) -> UUID | None:
        owner = directory.owner(CAMERA)
        return owner.replica if owner is not None else None


class TestDemand:
    def test_is_the_largest_of_all_and_ends_when_it_is_not_repeated(self, directory: Directory, clock: Clock) -> None:
        first, second = new_id(), new_id()
        directory.take_wants(first, wants(5))
        clock.now += 2
        directory.take_wants(second, wants(1, viewers=3))
        assert directory.wanted(CAMERA)[0] == 5
        assert directory.viewers(CAMERA) == 4
        clock.now += 2
        assert directory.wanted(CAMERA)[0] == 1
        clock.now += 2
        assert directory.wanted(CAMERA)[0] == 0
        directory.forget()
        assert directory.viewers(CAMERA) == 0

    def test_changes_its_number_when_the_newest_is_wanted_at_once(self, directory: Directory) -> None:
        replica = new_id()
        directory.take_wants(replica, wants(5, first=True))
        before = directory.wanted(CAMERA)
        directory.take_wants(replica, wants(5))
        assert directory.wanted(CAMERA) == before
        directory.take_wants(replica, wants(5, first=True))
        assert directory.wanted(CAMERA) != before


class TestFrame:
    def test_comes_out_as_it_went_in(self) -> None:
        sent = frame(7, size=50_000)
        taken = unpack(pack(sent))
        assert (taken.sequence, taken.captured_at, bytes(taken.jpeg)) == (7, sent.captured_at, bytes(sent.jpeg))
        assert taken.etag == sent.etag

    @pytest.mark.parametrize(
        "data", [b"", b"\0", b"\xff\xff{}", b"\0\2{}", b"\0\2[]", b"\0\4null", b"\0\3\xff\xff\xff"]
    )
    def test_that_is_none_is_refused(self, data: bytes) -> None:
        with pytest.raises(ValueError, match="not a frame"):
            unpack(data)

    def test_is_as_old_as_it_was_where_it_came_from(self) -> None:
        sent = replace(frame(7), received_at=datetime.now(UTC) - timedelta(seconds=30))
        assert abs(unpack(pack(sent)).received_at - sent.received_at) < timedelta(seconds=5)

    def test_is_of_now_where_its_age_cannot_be(self) -> None:
        ahead = replace(frame(7), received_at=datetime.now(UTC) + timedelta(seconds=30))  # the clock was set back
        assert abs(unpack(pack(ahead)).received_at - datetime.now(UTC)) < timedelta(seconds=5)

    @staticmethod
    def message(**changes: object) -> bytes:
        head = {"sequence": 7, "captured_at": 1.0, "media_type": "image/jpeg", **changes}
        written = json.dumps(head).encode()
        return len(written).to_bytes(2, "big") + written + b"picture"

    def test_of_a_replica_that_says_no_age_is_of_now(self) -> None:
        assert abs(unpack(self.message()).received_at - datetime.now(UTC)) < timedelta(seconds=5)

    @pytest.mark.parametrize("age_s", ["old", None, [], -1, math.nan, math.inf, 10**400, 2 * 24 * 3600])
    def test_of_an_age_that_cannot_be_is_refused(self, age_s: object) -> None:
        with pytest.raises(ValueError, match="not a frame"):
            unpack(self.message(age_s=age_s))

    def test_has_a_channel_of_its_camera(self) -> None:
        assert camera_of(channel_of(CAMERA).encode()) == CAMERA
        with pytest.raises(ValueError, match="hexadecimal"):
            camera_of(b"fluxprint:camera:frames:x")
