"""Detection of failing prints: one picture at a time, of the camera whose turn it is."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol
from uuid import UUID

from fluxprint_camera.watching.hysteresis import Crossing
from fluxprint_camera.watching.kinds import Action, Kind
from fluxprint_camera.watching.process import DetectorFailed
from fluxprint_camera.watching.records import Records
from fluxprint_camera.watching.settings import WatchSettings
from fluxprint_camera.watching.watched import GAP_INTERVALS, Shot, Watched


class Scorer(Protocol):
    """What scores pictures: `process.DetectorProcess`."""

    @property
    def model(self) -> str: ...

    @property
    def model_version(self) -> str: ...

    async def score(self, jpeg: bytes) -> Mapping[str, float]: ...


class Detection:
    """Takes the newest pictures of what is watched, and keeps nothing waiting: who is slow gets fewer of them.

    Args:
        watched: the cameras, as the watcher keeps them.
    """

    def __init__(
        self,
        watched: Mapping[UUID, Watched],
        scorer: Scorer,
        records: Records,
        settings: WatchSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._watched = watched
        self._scorer = scorer
        self._records = records
        self._settings = settings
        self._clock = clock

    async def step(self) -> None:
        """Score what is due, each camera once."""
        due = [watched for watched in self._watched.values() if self._is_due(watched, self._clock())]
        for watched in sorted(due, key=lambda one: one.scored_at):
            shot = watched.newest
            if shot is None or watched.place.camera_id not in self._watched:
                continue
            watched.scored, watched.scored_at = shot, self._clock()
            try:
                scores = await self._scorer.score(shot.jpeg)
            except DetectorFailed:  # it is in the log; the next picture is tried
                self._records.metrics.scored.labels("failed").inc()
                if self._clock() - watched.judged_at > GAP_INTERVALS * self._settings.detector_interval_s:
                    watched.failure.forget()
                continue
            if scores:
                watched.judged_at = self._clock()
                self._records.metrics.scored.labels("scored").inc()
                await self._take_in(watched, shot, scores)

    def _is_due(self, watched: Watched, now: float) -> bool:
        return (
            watched.place.running is not None
            and watched.policy.actions[Kind.FAILURE] is not Action.OFF
            and watched.newest is not None
            and watched.newest is not watched.scored
            and now - watched.scored_at >= self._settings.detector_interval_s
        )

    async def _take_in(self, watched: Watched, shot: Shot, scores: Mapping[str, float]) -> None:
        label, score = max(scores.items(), key=lambda item: item[1])
        followed = watched.failure
        crossing = followed.update(score, self._clock())
        if crossing is None:
            return
        if crossing is Crossing.LEFT:
            done = await self._records.end(watched.place.camera_id, Kind.FAILURE)
        else:
            found = watched.place.found(
                Kind.FAILURE, value=score, threshold=followed.band.enter, captured_at=shot.captured_at
            )
            found = replace(
                found,
                label=label,
                scores=scores,
                model=self._scorer.model,
                model_version=self._scorer.model_version,
            )
            done = await self._records.keep(found, watched.policy, shot.jpeg)
        if not done:
            followed.entered = crossing is Crossing.LEFT
