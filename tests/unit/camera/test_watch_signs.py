"""What pictures say: that they stand still, or are black, whatever noise and clocks there are."""

import hashlib

import pytest

from fluxprint_camera.relay.unpacking import Unreadable
from fluxprint_camera.watching.hysteresis import Band, Crossing, Hysteresis
from fluxprint_camera.watching.kinds import Kind
from fluxprint_camera.watching.picture import Look
from fluxprint_camera.watching.settings import WatchSettings
from fluxprint_camera.watching.signs import PictureSigns, Sign
from support.pictures import black, scene

SETTINGS = WatchSettings(
    watch_frozen_after_s=60, watch_frozen_idle_after_s=300, watch_black_after_s=20, watch_clear_after_s=10
)
EVERY_S = 5.0


class Show:
    """Shows pictures, one every five seconds of a clock that nobody waits for."""

    def __init__(self, *, printing: bool = True, open_kinds: frozenset[Kind] = frozenset()) -> None:
        self.signs = PictureSigns(SETTINGS, printing=printing, open_kinds=open_kinds)
        self.now = 0.0

    def __call__(self, *pictures: bytes) -> list[Sign]:
        found = []
        for picture in pictures:
            self.now += EVERY_S
            found += self.signs.take(Look.of(picture), hashlib.sha256(picture).hexdigest(), self.now)
        return found


def kinds(signs: list[Sign]) -> list[tuple[Kind, Crossing]]:
    return [(sign.kind, sign.crossing) for sign in signs]


FROZEN = (Kind.FROZEN, Crossing.ENTERED)
MOVES_AGAIN = (Kind.FROZEN, Crossing.LEFT)


class TestHysteresis:
    BAND = Band(0.8, 0.5, enter_after_s=10, leave_after_s=20)

    def test_enters_after_its_time_and_leaves_past_the_other_threshold(self) -> None:
        followed = Hysteresis(self.BAND)
        measured = [(0, 0.9), (9, 0.9), (10, 0.9), (20, 0.6), (40, 0.6), (50, 0.4), (69, 0.4), (70, 0.4), (71, 0.4)]
        crossings = {now: followed.update(value, now) for now, value in measured}
        assert {now: found for now, found in crossings.items() if found} == {10: Crossing.ENTERED, 70: Crossing.LEFT}

    def test_begins_anew_when_the_measure_turns_back(self) -> None:
        followed = Hysteresis(self.BAND)
        assert [followed.update(value, now) for now, value in [(0, 0.9), (9, 0.7), (10, 0.9), (19, 0.9)]] == [None] * 4
        assert followed.update(0.9, 20) is Crossing.ENTERED
        assert [followed.update(value, now) for now, value in [(21, 0.4), (40, 0.5), (41, 0.4), (60, 0.4)]] == [
            None
        ] * 4

    def test_of_what_is_bad_when_low(self) -> None:
        followed = Hysteresis(Band(10, 20, enter_after_s=0, leave_after_s=0, low_is_bad=True))
        assert [followed.update(value, 0) for value in (11, 10, 20, 21)] == [
            None, Crossing.ENTERED, None, Crossing.LEFT,
        ]  # fmt: skip

    def test_with_equal_thresholds_is_still_one_or_the_other(self) -> None:
        followed = Hysteresis(Band(10, 10, enter_after_s=0, leave_after_s=0, low_is_bad=True))
        assert [followed.update(value, 0) for value in (11, 10, 11)] == [None, Crossing.ENTERED, Crossing.LEFT]


class TestFrozen:
    def test_the_same_picture_with_a_clock_is(self) -> None:
        show = Show()
        found = show(*(scene(clock=f"2026-11-21 10:{at // 12:02}:{at * 5 % 60:02}") for at in range(16)))
        assert kinds(found) == [FROZEN]
        assert found[0].value <= found[0].threshold == SETTINGS.watch_frozen_below

    def test_the_same_scene_with_noise_is(self) -> None:
        assert kinds(Show()(*(scene(noise=25) for _ in range(16)))) == [FROZEN]

    def test_a_moving_head_is_not(self) -> None:
        assert kinds(Show()(*(scene(head_x=100 + at % 2 * 40, noise=25) for at in range(20)))) == []

    def test_is_over_when_something_moves(self) -> None:
        show = Show()
        assert kinds(show(*[scene()] * 14)) == [FROZEN]
        assert kinds(show(scene(head_x=300))) == [MOVES_AGAIN]

    def test_a_gap_begins_anew(self) -> None:
        show = Show()
        show(*[scene()] * 12)
        show.signs.pause()
        assert kinds(show(*[scene()] * 12)) == []

    def test_with_nothing_printing_only_the_same_bytes_are(self) -> None:
        still = [scene(noise=25) for _ in range(8)]
        assert kinds(Show(printing=False)(*still * 10)) == []
        show = Show(printing=False)
        assert kinds(show(*[still[0]] * 62)) == [FROZEN]
        assert kinds(show(still[1])) == [MOVES_AGAIN]

    def test_known_from_before_is_not_found_again(self) -> None:
        show = Show(open_kinds=frozenset({Kind.FROZEN}))
        assert kinds(show(*[scene()] * 30)) == []
        assert kinds(show(scene(head_x=300))) == [MOVES_AGAIN]


class TestBlack:
    @pytest.mark.parametrize("dark", [black(), black(noise=True), scene(light=0.04)])
    def test_darkness_is_and_is_not_called_frozen(self, dark: bytes) -> None:
        show = Show()
        assert kinds(show(*[dark] * 30)) == [(Kind.BLACK, Crossing.ENTERED)]
        assert kinds(show(scene(), scene(head_x=140), scene())) == [(Kind.BLACK, Crossing.LEFT)]

    def test_a_dim_room_is_not(self) -> None:
        assert Look.of(scene(light=0.3)).light > SETTINGS.watch_black_clear_above

    def test_a_moment_of_darkness_is_not(self) -> None:
        assert kinds(Show()(scene(), *[black()] * 3, scene(head_x=200), *[black()] * 3)) == []


class TestLook:
    @pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff\xe0 and no more", scene()[:500], b"\x89PNG\r\n"])
    def test_refuses_what_is_no_picture(self, data: bytes) -> None:
        with pytest.raises(Unreadable):
            Look.of(data)

    def test_takes_pictures_of_any_size(self) -> None:
        small, large = Look.of(scene(size=(32, 24))), Look.of(scene(size=(1280, 960)))
        assert small.light == pytest.approx(large.light, abs=10)


class TestSettings:
    @pytest.mark.parametrize(
        ("changed", "why"),
        [
            ({"watch_frozen_clear_above": 0.001}, "CAMERA_WATCH_FROZEN_CLEAR_ABOVE"),
            ({"watch_black_clear_above": 10}, "CAMERA_WATCH_BLACK_CLEAR_ABOVE"),
            ({"watch_missing_after_s": 20}, "CAMERA_WATCH_MISSING_AFTER_S: at least 30"),
        ],
    )
    def test_that_contradict_each_other_are_refused(self, changed: dict[str, float], why: str) -> None:
        with pytest.raises(ValueError, match=why):
            WatchSettings.model_validate(changed)
