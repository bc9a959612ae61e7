"""An exhaustive breadth-first search: every state that can be reached, the shortest way to a broken promise, and
whether a good end stays possible from everywhere."""

import gc
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field

from fluxprint_model.printer import Kind
from fluxprint_model.state import State, World, swapped
from fluxprint_model.world import broken, finished, moves, settled
from fluxprint_queue.attempts.states import AttemptState
from fluxprint_queue.jobs.states import JobState


class Violation(Exception):
    """A promise is broken; the message tells how, step by step."""


class TooLarge(Exception):
    """The world has more states than the search may look at."""


@dataclass
class Space:
    """What a search has seen."""

    world: World
    states: list[State] = field(default_factory=list)
    parents: "array[int]" = field(default_factory=lambda: array("i"))
    edges: int = 0
    attempt_moves: set[tuple[AttemptState, AttemptState]] = field(default_factory=set)
    job_moves: set[tuple[JobState, JobState]] = field(default_factory=set)
    command_moves: set[tuple[str, str]] = field(default_factory=set)
    #: Moves that are no fault: from, to, and whether a person makes it.
    _from: "array[int]" = field(default_factory=lambda: array("i"))
    _to: "array[int]" = field(default_factory=lambda: array("i"))
    _by_person: bytearray = field(default_factory=bytearray)

    def story(self, number: int) -> str:
        """The shortest way to a state, one sentence for each step."""
        way = [number]
        while self.parents[way[-1]] >= 0:
            way.append(self.parents[way[-1]])
        state, lines = self.states[0], []
        for step in reversed(way[:-1]):
            move = next(move for move in moves(self.world, state) if swapped(move.state) == self.states[step])
            state = move.state  # and not swapped: A stays A
            lines.append(move.text)
        return "\n".join(f"{count:3}. {line}" for count, line in enumerate(lines, 1))

    def unreachable(self, good: Callable[[World, State], bool], *, people: bool) -> int | None:
        """The first state from which no fair steps lead to a good one; None where there is none.

        Args:
            people: whether the steps of people count: they come in the end.
        """
        into: list[list[int]] = [[] for _ in self.states]
        for start, end, by_person in zip(self._from, self._to, self._by_person, strict=True):
            if people or not by_person:
                into[end].append(start)
        safe = bytearray(good(self.world, state) for state in self.states)
        waiting = [number for number, is_good in enumerate(safe) if is_good]
        while waiting:
            for number in into[waiting.pop()]:
                if not safe[number]:
                    safe[number] = 1
                    waiting.append(number)
        return next((number for number, is_safe in enumerate(safe) if not is_safe), None)

    def note(self, number: int, following: int, kind: Kind) -> None:
        """Count a move."""
        self.edges += 1
        if kind != Kind.FAULT:
            self._from.append(number)
            self._to.append(following)
            self._by_person.append(kind == Kind.PERSON)
        before, after = self.states[number].queue, self.states[following].queue
        if before is after:
            return
        for old, new in zip(before.attempts, after.attempts, strict=False):
            if old.state != new.state:
                self.attempt_moves.add((old.state, new.state))
        for was, job in zip(before.jobs, after.jobs, strict=True):
            if was.state != job.state:
                self.job_moves.add((was.state, job.state))
        for given, command in zip(before.commands, after.commands, strict=False):
            if given.state != command.state:
                self.command_moves.add((given.state, command.state))


def explore(world: World, *, most: int = 5_000_000) -> Space:
    """Every state of a world. Raises: Violation, TooLarge"""
    gc.disable()  # there are no cycles, and looking for them in a million tuples takes longer than the search
    try:
        return _explore(world, most)
    finally:
        gc.enable()


def _explore(world: World, most: int) -> Space:
    space = Space(world)
    known = {world.start(): 0}
    space.states.append(world.start())
    space.parents.append(-1)
    for number, state in enumerate(space.states):  # grows while it is walked through
        for _, reached, kind in moves(world, state):
            after = swapped(reached)
            following = known.setdefault(after, len(space.states))
            if following == len(space.states):
                space.states.append(after)
                space.parents.append(number)
                what = broken(after)
                if what:
                    raise Violation(f"World {world.name}: {what}.\n{space.story(following)}")
                if following >= most:
                    raise TooLarge(f"world {world.name} has more than {most} states")
            space.note(number, following, kind)
    return space


def check(world: World, *, most: int = 5_000_000) -> Space:
    """Search a world for a broken promise and for a dead end. Raises: Violation, TooLarge"""
    space = explore(world, most=most)
    for good, people, what in (
        (settled, False, "a job neither ends nor comes to wait for a person"),
        (finished, True, "a job never ends, whatever people do"),
    ):
        stuck = space.unreachable(good, people=people)
        if stuck is not None:
            raise Violation(f"World {world.name}: {what}.\n{space.story(stuck)}\nThere: {space.states[stuck]}")
    return space
