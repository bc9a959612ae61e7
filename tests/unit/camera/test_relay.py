"""The relay's rules, on a clock that the tests turn."""

import gc
import weakref
from contextlib import ExitStack

import pytest

from fluxprint_camera.relay.channel import Ended
from fluxprint_camera.relay.frame import Frame
from fluxprint_camera.relay.viewer import LEAST_BYTES_PER_S, Left
from support.camera import Connection, frame
from support.relay import ORGANISATION, Relay, taken


class TestSlot:
    def test_gives_each_frame_once_and_in_order_to_who_keeps_up(self) -> None:
        relay = Relay()
        with relay.publishing() as publication, relay.watching() as viewer:
            seen = []
            for number in range(1, 51):
                publication.publish(frame(number))
                seen += [taken(viewer), taken(viewer)]
        assert [number for number in seen if number] == list(range(1, 51))
        assert viewer.dropped == 0

    def test_a_slow_viewer_gets_the_newest_and_delays_nobody(self) -> None:
        relay = Relay()
        with relay.publishing() as publication, relay.watching() as slow, relay.watching() as fast:
            seen = []
            for number in range(1, 11):
                publication.publish(frame(number))
                seen.append(taken(fast))
            assert seen == list(range(1, 11))
            assert taken(slow) == 10
            assert taken(slow) is None
        assert (slow.dropped, fast.dropped) == (9, 0)
        assert (relay.hub.totals.received, relay.hub.totals.sent, relay.hub.totals.dropped) == (10, 11, 9)

    def test_no_more_than_one_frame_is_kept_however_many_do_not_read(self) -> None:
        relay = Relay()
        alive: weakref.WeakSet[Frame] = weakref.WeakSet()
        with relay.publishing() as publication, relay.watching(), relay.watching(), relay.watching():
            for number in range(1, 501):
                newest = frame(number)
                alive.add(newest)
                publication.publish(newest)
            gc.collect()
            assert [kept.sequence for kept in alive] == [500]

    async def test_waiting_ends_with_a_frame_and_with_leaving(self) -> None:
        relay = Relay()
        with relay.publishing() as publication, relay.watching() as viewer:
            publication.publish(frame(1))
            assert await viewer.ready()
            viewer.leave(Left.DISCONNECTED)
            assert not await viewer.ready()
            assert viewer.take() is None

    def test_a_late_viewer_gets_the_last_frame_at_once(self) -> None:
        relay = Relay()
        with relay.publishing() as publication:
            publication.publish(frame(7))
            relay.after(relay.settings.idle_interval_s)
            with relay.watching() as viewer:
                assert taken(viewer) == 7

    def test_a_late_viewer_gets_no_frame_that_is_not_current(self) -> None:
        relay = Relay()
        with relay.publishing() as publication:
            publication.publish(frame(7))
            relay.clock.now += relay.settings.silence_s
            with relay.watching() as viewer:
                assert taken(viewer) is None

    def test_a_viewer_with_a_limit_gets_that_many(self) -> None:
        relay = Relay(max_fps=30)
        with relay.publishing() as publication, relay.watching(max_fps=5) as viewer:
            seen = []
            for number in range(1, 301):
                relay.clock.now += 1 / 30
                publication.publish(frame(number))
                seen.append(taken(viewer))
        assert sum(number is not None for number in seen) in range(49, 52)
        assert viewer.dropped == 0


class TestUplink:
    def test_a_newer_one_takes_over(self) -> None:
        relay = Relay()
        with relay.publishing() as old, relay.watching() as viewer:
            old.publish(frame(1))
            with relay.publishing() as new:
                assert (old.ended, new.ended) == (Ended.TAKEN_OVER, None)
                new.publish(frame(5))
                old.publish(frame(2))
                assert taken(viewer) == 5

    def test_the_end_of_the_old_one_leaves_the_new_one_alone(self) -> None:
        relay = Relay()
        old = ExitStack()
        old.enter_context(relay.publishing())
        with relay.publishing() as new:
            new.publish(frame(1))
            old.close()
            live = relay.hub.look(camera_id=relay.camera, organisation_id=ORGANISATION)
            assert live is not None
            assert live.online

    def test_ends_with_its_token(self) -> None:
        relay = Relay()
        with relay.publishing(expires_in_s=10) as publication:
            relay.after(9)
            assert publication.ended is None
            relay.after(1)
            assert publication.ended is Ended.EXPIRED

    def test_ends_when_it_is_silent(self) -> None:
        relay = Relay(idle_interval_s=10, idle_margin_s=5)
        with relay.publishing() as publication:
            relay.after(24)
            publication.publish(frame(1))
            relay.after(24)
            assert publication.ended is None
            relay.after(1)
            assert publication.ended is Ended.SILENT

    def test_says_how_many_frames_come(self) -> None:
        relay = Relay()
        with relay.publishing() as publication:
            for number in range(1, 41):
                publication.publish(frame(number))
                relay.clock.now += 0.1
            live = relay.hub.look(camera_id=relay.camera, organisation_id=ORGANISATION)
        assert live is not None
        assert live.fps == pytest.approx(10, rel=0.05)


class TestDemand:
    def test_rises_at_once_and_falls_after_a_while(self) -> None:
        relay = Relay(max_fps=15, linger_s=3)
        with relay.publishing() as publication:
            assert publication.wanted_fps == 0
            with relay.watching():
                assert publication.wanted_fps == 15
            relay.after(2)
            assert publication.wanted_fps == 15
            relay.after(2)
            assert publication.wanted_fps == 0

    def test_does_not_fall_for_a_viewer_who_comes_back(self) -> None:
        relay = Relay(linger_s=3)
        with relay.publishing() as publication:
            with relay.watching():
                pass
            relay.after(2)
            with relay.watching():
                relay.after(10)
                assert publication.wanted_fps == relay.settings.max_fps

    def test_is_that_of_the_fastest_viewer_within_the_limit(self) -> None:
        relay = Relay(max_fps=15, linger_s=3)
        with relay.publishing() as publication, relay.watching(max_fps=2):
            assert publication.wanted_fps == 2
            with relay.watching(max_fps=8):
                assert publication.wanted_fps == 8
            with relay.watching(max_fps=40):
                assert publication.wanted_fps == 15
            relay.after(2)
            relay.after(2)
            assert publication.wanted_fps == 2

    def test_is_never_less_than_when_nobody_watches(self) -> None:
        relay = Relay(idle_interval_s=4)
        with relay.publishing() as publication, relay.watching(max_fps=0.01):
            assert publication.wanted_fps == 0.25

    def test_is_not_that_of_a_viewer_who_acknowledges_nothing(self) -> None:
        relay = Relay(max_fps=15, linger_s=0, stuck_after_s=5, idle_interval_s=300)
        connection = Connection(takes=True, unacknowledged=True)
        with relay.publishing() as publication, relay.watching(connection=connection) as viewer:
            relay.after(4)
            assert publication.wanted_fps == 15
            relay.after(1)
            assert (publication.wanted_fps, viewer.left) == (0, None)
            with relay.watching(max_fps=2):
                assert publication.wanted_fps == 2
            connection.unacknowledged = False
            relay.after(0.5)
            assert publication.wanted_fps == 15

    def test_is_that_of_a_viewer_on_a_slow_line_who_has_not_got_all_yet(self) -> None:
        relay = Relay(max_fps=15, linger_s=0, stuck_after_s=5, idle_interval_s=300)
        connection = Connection(unacknowledged=True, waiting=45_000)
        with relay.publishing() as publication, relay.watching(connection=connection):
            for _ in range(5):
                connection.waiting -= 4 * LEAST_BYTES_PER_S
                relay.after(4)
            assert publication.wanted_fps == 15
            for _ in range(3):
                connection.waiting -= 1
                relay.after(2)
            assert publication.wanted_fps == 0

    async def test_wakes_the_uplink_when_it_changes(self) -> None:
        relay = Relay()
        with relay.publishing() as publication, relay.watching():
            await publication.changed()

    def test_is_known_to_the_uplink_that_comes_back(self) -> None:
        relay = Relay()
        with ExitStack() as stack:
            with relay.publishing():
                stack.enter_context(relay.watching())
            with relay.publishing() as publication:
                assert publication.wanted_fps == relay.settings.max_fps


class TestDeadlines:
    def test_a_viewer_leaves_with_its_token(self) -> None:
        relay = Relay()
        with relay.publishing(), relay.watching(expires_in_s=5) as viewer:
            relay.after(4)
            assert viewer.left is None
            relay.after(1)
            assert viewer.left is Left.EXPIRED

    def test_a_stuck_viewer_is_cut_off(self) -> None:
        relay = Relay(stuck_after_s=5)
        connection = Connection()
        with relay.publishing(), relay.watching(connection=connection) as viewer:
            relay.after(1)
            connection.waiting = 4000
            relay.after(1)
            relay.after(4)
            assert (viewer.left, connection.cuts) == (None, 0)
            relay.after(1)
            assert (viewer.left, connection.cuts) == (Left.STUCK, 1)

    def test_a_slow_viewer_is_not_stuck(self) -> None:
        relay = Relay(stuck_after_s=5, idle_interval_s=300)
        connection = Connection(waiting=500_000)
        with relay.publishing(), relay.watching(connection=connection) as viewer:
            for _ in range(100):
                connection.waiting -= 4 * LEAST_BYTES_PER_S
                relay.after(4)
            assert (viewer.left, connection.cuts) == (None, 0)

    def test_a_viewer_who_takes_a_byte_now_and_then_is_stuck(self) -> None:
        relay = Relay(stuck_after_s=5, idle_interval_s=300)
        connection = Connection(waiting=4000)
        with relay.publishing(), relay.watching(connection=connection) as viewer:
            relay.after(1)
            for _ in range(5):
                connection.waiting -= 1
                relay.after(1)
            assert (viewer.left, connection.cuts) == (None, 0)
            connection.waiting -= 1
            relay.after(1)
            assert (viewer.left, connection.cuts) == (Left.STUCK, 1)

    def test_a_viewer_who_takes_whole_pictures_is_not_stuck_however_small_they_are(self) -> None:
        relay = Relay(stuck_after_s=5, idle_interval_s=300)
        connection = Connection(waiting=200)
        with relay.publishing() as publication, relay.watching(connection=connection) as viewer:
            for number in range(1, 11):
                publication.publish(frame(number))
                assert taken(viewer) == number
                relay.after(4)
            assert (viewer.left, connection.cuts) == (None, 0)

    def test_a_viewer_who_only_asks_is_stuck(self) -> None:
        relay = Relay(stuck_after_s=5, idle_interval_s=300)
        connection = Connection(waiting=4000)
        with relay.publishing(), relay.watching(connection=connection) as viewer:
            for _ in range(4):
                connection.waiting += 6  # an answer to a ping
                relay.after(2)
            assert (viewer.left, connection.cuts > 0) == (Left.STUCK, True)

    def test_an_idle_viewer_is_not_stuck(self) -> None:
        relay = Relay(stuck_after_s=5, idle_interval_s=300)
        with relay.publishing(), relay.watching() as viewer:
            relay.after(100)
            assert viewer.left is None

    def test_who_has_left_cannot_hold_the_connection_by_reading_slowly(self) -> None:
        relay = Relay(stuck_after_s=5)
        connection = Connection(waiting=4000)
        with relay.publishing(), relay.watching(connection=connection, expires_in_s=2) as viewer:
            for _ in range(8):
                connection.waiting -= 1
                relay.after(1)
            assert (viewer.left, connection.cuts > 0) == (Left.EXPIRED, True)

    def test_a_camera_is_forgotten_when_nothing_of_it_is_left(self) -> None:
        relay = Relay()
        with relay.publishing() as publication:
            publication.publish(frame(1))
        relay.after(relay.settings.silence_s - 1)
        live = relay.hub.look(camera_id=relay.camera, organisation_id=ORGANISATION)
        assert live is not None
        assert live.frame is not None
        assert not live.online
        relay.after(1)
        assert relay.hub.look(camera_id=relay.camera, organisation_id=ORGANISATION) is None
