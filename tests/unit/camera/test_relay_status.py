"""What the relay says of itself, to whom it says it, and how many it lets in."""

from contextlib import ExitStack

import pytest

from fluxprint_camera.relay.problems import TooManyViewers
from fluxprint_camera.relay.status import BRIDGE_OFFLINE, GONE, NO_PICTURES, ONLINE, Status
from fluxprint_camera.relay.viewer import Left
from fluxprint_common.ids import new_id
from fluxprint_common.problems import NotFound
from support.camera import Connection, frame
from support.relay import ORGANISATION, Relay, taken


class TestLimits:
    def test_of_a_camera(self) -> None:
        relay = Relay(max_viewers_per_camera=2)
        with relay.publishing():
            with relay.watching(), relay.watching(), pytest.raises(TooManyViewers), relay.watching():
                pass
            with relay.watching():
                pass

    def test_of_an_organisation(self) -> None:
        relay = Relay(max_viewers_per_organisation=2)
        second = new_id()
        with relay.publishing(), relay.publishing(second), relay.watching(), relay.watching(second):
            with pytest.raises(TooManyViewers), relay.watching():
                pass
            assert relay.hub.count() == (0, 2)

    def test_of_a_person_over_all_cameras(self) -> None:
        relay = Relay(max_viewers_per_person=2)
        second, me = new_id(), new_id()
        with relay.publishing(), relay.publishing(second), relay.watching(person=me):
            with relay.watching(second, person=me):
                with pytest.raises(TooManyViewers), relay.watching(person=me):
                    pass
                with relay.watching(), relay.watching(second):
                    assert relay.hub.count() == (0, 4)
            with relay.watching(person=me):
                pass

    def test_lets_one_account_show_a_whole_farm(self) -> None:
        relay, me = Relay(), new_id()
        with ExitStack() as watched:
            for camera in (new_id() for _ in range(60)):
                watched.enter_context(relay.publishing(camera))
                watched.enter_context(relay.watching(camera, person=me))
            assert relay.hub.count()[1] == 60

    def test_another_organisation_finds_nothing(self) -> None:
        relay = Relay()
        with relay.publishing() as publication:
            publication.publish(frame(1))
            assert relay.hub.look(camera_id=relay.camera, organisation_id=new_id()) is None
            with pytest.raises(NotFound), relay.watching(organisation=new_id()):
                pass


class TestStatus:
    """What viewers of a camera are told that shows nothing: at once, once, and that it is back."""

    def test_a_bridge_that_goes_is_waited_for(self) -> None:
        relay = Relay(offline_grace_s=10)
        with ExitStack() as stack:
            with relay.publishing() as publication:
                viewer = stack.enter_context(relay.watching())
                publication.publish(frame(1))
            relay.after(9)
            assert (viewer.news(), taken(viewer)) == (None, 1)
            relay.after(1)
            assert (viewer.news(), viewer.left) == (Status(BRIDGE_OFFLINE), None)
            relay.after(1)
            assert viewer.news() is None
            relay.after(relay.settings.idle_interval_s)
            assert viewer.news() == Status(BRIDGE_OFFLINE)  # so that something goes over the connection
            with relay.publishing() as publication:
                publication.publish(frame(2))
                assert (viewer.news(), taken(viewer)) == (ONLINE, 2)

    def test_a_bridge_that_goes_while_its_camera_shows_nothing_is_not_waited_for(self) -> None:
        relay = Relay()
        with ExitStack() as stack:
            with relay.publishing() as publication:
                viewer = stack.enter_context(relay.watching())
                publication.report("frozen")
            relay.after(1)
            assert viewer.news() == GONE

    def test_a_camera_without_an_uplink_says_so_at_once(self) -> None:
        relay = Relay()
        with relay.watching() as viewer:
            assert viewer.news() == Status(BRIDGE_OFFLINE)
        relay.after(1)
        assert relay.hub.look(camera_id=relay.camera, organisation_id=ORGANISATION) is None

    def test_a_camera_that_is_off_says_so_though_its_bridge_is_there(self) -> None:
        relay = Relay(idle_interval_s=10, idle_margin_s=5, offline_grace_s=10)
        with relay.publishing() as publication, relay.watching() as viewer:
            assert viewer.news() is None
            relay.after(10)
            assert viewer.news() == Status(NO_PICTURES)
            publication.publish(frame(1))
            assert (viewer.news(), taken(viewer)) == (ONLINE, 1)
            relay.after(24)
            assert viewer.news() is None
            relay.after(1)
            assert viewer.news() == Status(NO_PICTURES)

    def test_what_the_bridge_says_is_passed_on_and_hides_the_last_picture(self) -> None:
        relay = Relay()
        with relay.publishing() as publication, relay.watching() as viewer:
            publication.publish(frame(1))
            publication.report("frozen")
            assert (viewer.news(), taken(viewer)) == (Status("frozen"), None)
            live = relay.hub.look(camera_id=relay.camera, organisation_id=ORGANISATION)
            assert live is not None
            assert (live.online, live.frame, live.status) == (False, None, Status("frozen"))
            with relay.watching() as late:
                assert (late.news(), taken(late)) == (Status("frozen"), None)
            publication.report("frozen")
            assert viewer.news() is None
            publication.report("closed")
            assert viewer.news() == Status("closed")
            publication.publish(frame(2))
            assert (viewer.news(), taken(viewer)) == (ONLINE, 2)


class TestPush:
    """A frame that the connection takes at once passes by the slot, and never another frame."""

    @pytest.fixture
    def connection(self) -> Connection:
        return Connection(takes=True)

    def test_only_while_the_viewer_waits(self, connection: Connection) -> None:
        relay = Relay()
        with relay.publishing() as publication, relay.watching(connection=connection) as viewer:
            publication.publish(frame(1))
            assert (connection.taken, taken(viewer)) == ([], 1)
            viewer.idle = True
            publication.publish(frame(2))
            assert (connection.taken, taken(viewer)) == ([2], None)
            assert (viewer.sent, viewer.dropped, relay.hub.totals.sent) == (2, 0, 2)

    def test_not_past_what_waits(self, connection: Connection) -> None:
        relay = Relay()
        with relay.publishing() as publication, relay.watching(connection=connection) as viewer:
            viewer.idle = True
            connection.takes = False
            publication.publish(frame(1))
            connection.takes = True
            publication.publish(frame(2))
            assert (connection.taken, taken(viewer), viewer.dropped) == ([], 2, 1)

    def test_not_past_news(self, connection: Connection) -> None:
        relay = Relay()
        with relay.watching(connection=connection) as viewer:
            viewer.idle = True
            with relay.publishing() as publication:
                publication.publish(frame(1))
                assert (connection.taken, viewer.news(), taken(viewer)) == ([], ONLINE, 1)

    def test_not_to_who_has_left(self, connection: Connection) -> None:
        relay = Relay()
        with relay.publishing() as publication, relay.watching(connection=connection) as viewer:
            viewer.idle = True
            viewer.leave(Left.REVOKED)
            publication.publish(frame(1))
            assert connection.taken == []
