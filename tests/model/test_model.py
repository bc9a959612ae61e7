"""The exhaustive check of the protocol's model, and the planted faults that it must find. See docs/model/README.md."""

import pytest

from fluxprint_model.plants import Plant
from fluxprint_model.search import Space, TooLarge, Violation, check
from fluxprint_model.state import Left, World
from fluxprint_model.worlds import CAUGHT, WORLDS
from fluxprint_queue.attempts.states import TRANSITIONS
from fluxprint_queue.commands.states import CommandState
from fluxprint_queue.jobs.states import ENDED, JobState


class Spaces:
    """The space of each world, searched once."""

    def __init__(self) -> None:
        self._found: dict[str, Space] = {}

    def of(self, world: World) -> Space:
        if world.name not in self._found:
            space = self._found[world.name] = check(world, most=100_000)
            space.states.clear()  # only the moves are still wanted
        return self._found[world.name]


@pytest.fixture(scope="module")
def spaces() -> Spaces:
    return Spaces()


class TestModel:
    @pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
    def test_every_promise_holds_in_every_state(self, world: World, spaces: Spaces) -> None:
        spaces.of(world)

    def test_the_worlds_make_every_move_of_the_codes_tables_and_no_other(self, spaces: Spaces) -> None:
        seen = [spaces.of(world) for world in WORLDS]
        attempts = {move for space in seen for move in space.attempt_moves}
        assert attempts == {(start, end) for start, following in TRANSITIONS.items() for end in following}
        commands = {move for space in seen for move in space.command_moves}
        assert commands == {("pending", end) for end in CommandState if end != CommandState.PENDING}
        jobs = {move for space in seen for move in space.job_moves}
        assert {start for start, _ in jobs} == set(JobState) - ENDED
        assert {end for _, end in jobs} == set(JobState)


class TestPlantedFaults:
    @pytest.mark.parametrize("plant", Plant, ids=lambda plant: plant.name.lower())
    def test_it_is_found(self, plant: Plant) -> None:
        world, promise = CAUGHT[plant]
        with pytest.raises(Violation, match=promise) as found:
            check(world._replace(name=plant, plants=frozenset({plant})), most=50_000)
        assert "  1. bridge A starts" in str(found.value)


class TestSearch:
    def test_it_has_a_bound(self) -> None:
        with pytest.raises(TooLarge):
            check(World("small", Left(crashes=1)), most=10)
