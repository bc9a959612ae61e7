"""Loops under a supervisor: started again, paused in between, and told apart from dead ones."""

import asyncio
from functools import partial

import pytest

from fluxprint_common import background
from fluxprint_common.background import MAX_BACKOFF_S, Supervisor, backoff_s, every


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "MIN_BACKOFF_S", 0.001)
    monkeypatch.setattr(background, "RECOVERED_AFTER_S", 0.05)


class Flaky:
    """A loop that fails so many times, then runs."""

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.starts = 0
        self.running = asyncio.Event()
        self.ended = asyncio.Event()

    async def run(self) -> None:
        self.starts += 1
        if self.starts <= self.failures:
            raise RuntimeError("boom")
        self.running.set()
        try:
            await asyncio.sleep(3600)
        finally:
            self.ended.set()


async def until(condition: object, *, within_s: float = 5) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # type: ignore[operator]
            await asyncio.sleep(0.005)


class TestSupervisor:
    async def test_starts_a_failed_loop_again_and_forgets_the_failures_when_it_runs(self) -> None:
        loops, flaky = Supervisor(), Flaky(failures=5)
        loops.start("flaky", flaky.run)
        await until(lambda: loops.unhealthy() == ["flaky"])
        await flaky.running.wait()
        await until(lambda: loops.unhealthy() == [])
        assert flaky.starts == 6
        await loops.stop()

    async def test_starts_a_loop_again_that_returns(self) -> None:
        loops, times = Supervisor(), 0

        async def returns() -> None:
            nonlocal times
            times += 1

        loops.start("returns", returns)
        await until(lambda: times > 3)
        await until(lambda: loops.unhealthy() == ["returns"])
        await loops.stop()

    async def test_one_failing_loop_leaves_the_others_alone(self) -> None:
        loops, steady = Supervisor(), Flaky(failures=0)
        loops.start("failing", Flaky(failures=10**9).run)
        loops.start("steady", steady.run)
        await until(lambda: loops.unhealthy() == ["failing"])
        assert steady.starts == 1
        await loops.stop()

    async def test_a_loop_that_gives_itself_up_is_dead_and_shown(self) -> None:
        loops = Supervisor()

        async def gives_up() -> None:
            raise asyncio.CancelledError

        loops.start("gives-up", gives_up)
        await until(lambda: loops.unhealthy() == ["gives-up"])

    async def test_a_loop_that_may_fail_is_not_shown(self) -> None:
        loops, flaky = Supervisor(), Flaky(failures=10**9)
        loops.start("redis", flaky.run, critical=False)
        await until(lambda: flaky.starts > 5)
        assert loops.unhealthy() == []
        assert loops.names == ["redis"]
        await loops.stop()

    async def test_names_are_unique(self) -> None:
        loops = Supervisor()
        loops.start("one", Flaky(failures=0).run)
        with pytest.raises(ValueError, match="one"):
            loops.start("one", Flaky(failures=0).run)
        await loops.stop()

    async def test_stops_one_or_all_and_waits_for_their_end(self) -> None:
        loops, first, second = Supervisor(), Flaky(failures=0), Flaky(failures=0)
        loops.start("first", first.run)
        loops.start("second", second.run)
        await first.running.wait()
        await second.running.wait()
        await loops.stop("first")
        assert first.ended.is_set()
        assert not second.ended.is_set()
        assert loops.names == ["second"]
        await loops.stop()
        assert second.ended.is_set()
        assert loops.names == []

    async def test_ends_a_loop_that_takes_a_cancellation_for_something_else(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(background, "CANCEL_AGAIN_S", 0.02)
        supervisor, waiting = Supervisor(), asyncio.Event()
        swallowed = 0

        async def deaf_once() -> None:
            nonlocal swallowed
            while True:
                waiting.set()
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    swallowed += 1
                    if swallowed > 1:
                        raise

        supervisor.start("deaf", deaf_once)
        await waiting.wait()
        async with asyncio.timeout(2):
            await supervisor.stop()
        assert swallowed == 2

    async def test_stopping_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(background, "STOP_TIMEOUT_S", 0.05)
        loops, release = Supervisor(), asyncio.Event()
        stubborn_runs = asyncio.Event()

        async def stubborn() -> None:
            stubborn_runs.set()
            try:
                await asyncio.sleep(3600)
            finally:
                await release.wait()

        loops.start("stubborn", stubborn)
        await stubborn_runs.wait()
        async with asyncio.timeout(5):
            await loops.stop()
        release.set()


class TestBackoff:
    def test_grows_to_its_cap_and_is_spread(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(background, "MIN_BACKOFF_S", 0.2)
        for failures, ceiling in [(1, 0.2), (2, 0.4), (5, 3.2), (8, MAX_BACKOFF_S), (10**6, MAX_BACKOFF_S)]:
            pauses = [backoff_s(failures) for _ in range(200)]
            assert all(ceiling / 2 <= pause <= ceiling for pause in pauses)
            assert len(set(pauses)) > 100


class TestEvery:
    async def test_calls_until_an_error(self) -> None:
        calls = 0

        async def action() -> None:
            nonlocal calls
            calls += 1
            if calls == 4:
                raise RuntimeError("boom")

        with pytest.raises(RuntimeError):
            await every(0.001, action)
        assert calls == 4

    async def test_may_begin_later(self) -> None:
        calls: list[str] = []

        async def action(name: str) -> None:
            calls.append(name)

        begun = [
            asyncio.create_task(every(1000, partial(action, "later"), first_after_s=1000)),
            asyncio.create_task(every(1000, partial(action, "at once"))),
        ]
        while not calls:
            await asyncio.sleep(0)
        assert calls == ["at once"]
        for task in begun:
            task.cancel()
