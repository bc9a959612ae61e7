"""Watches every camera whose bridge is connected to this process, and misses those that should show a print.

Each replica watches its own cameras; what they share is in the database: the decisions that are open, and when pictures
of a camera last came.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from fluxprint_camera.cameras.models import CameraRow
from fluxprint_camera.relay.hub import Hub
from fluxprint_camera.relay.unpacking import Unreadable
from fluxprint_camera.watching import repository
from fluxprint_camera.watching.hysteresis import Crossing
from fluxprint_camera.watching.kinds import Action, EndReason, Kind
from fluxprint_camera.watching.models import Decision
from fluxprint_camera.watching.picture import Look
from fluxprint_camera.watching.policy import Policies
from fluxprint_camera.watching.records import Records
from fluxprint_camera.watching.settings import WatchSettings
from fluxprint_camera.watching.signs import Sign
from fluxprint_camera.watching.watched import Place, Shot, Watched
from fluxprint_common.database import Database
from fluxprint_common.ids import show
from fluxprint_common.logs import get_logger
from fluxprint_common.prints import Print, PrintState

log = get_logger(__name__)

#: What is about a print ends with it. Darkness does not.
OF_A_PRINT = frozenset({Kind.FROZEN, Kind.NO_PICTURE, Kind.FAILURE})

#: Of the thread that unpacks pictures, for each camera: whose pictures are dear to unpack has fewer of them looked at.
SHARE = 0.005


class PrintSource(Protocol):
    """Who knows what prints: `prints.feed.PrintFeed`."""

    @property
    def prints(self) -> Mapping[UUID, Print]: ...

    @property
    def known(self) -> frozenset[UUID]: ...

    def ask_about(self, attempt_ids: Collection[UUID]) -> None: ...


@dataclass(frozen=True)
class _Survey:
    """What the database says, of one moment."""

    cameras: Mapping[UUID, CameraRow]
    policies: Policies
    open: Collection[Decision]
    unseen_for: Mapping[UUID, float]


class Watcher:
    """Three loops: `survey` finds out what is to be watched, `look` looks at pictures, and the detection (see there)
    takes the newest of them from `watched`.

    Args:
        clock: seconds that only ever grow.
    """

    def __init__(
        self,
        hub: Hub,
        database: Database,
        records: Records,
        prints: PrintSource,
        settings: WatchSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.watched: dict[UUID, Watched] = {}
        self._hub = hub
        self._database = database
        self._records = records
        self._prints = prints
        self._settings = settings
        self._clock = clock
        self._seen: set[UUID] = set()
        self._printing_since: dict[UUID, float] = {}
        self._asked_at = float("-inf")
        self._asking_since = 0.0
        self._decoder = ThreadPoolExecutor(max_workers=1, thread_name_prefix="watch")

    def close(self) -> None:
        """Let go of every camera."""
        for watched in self.watched.values():
            watched.close()
        self.watched.clear()
        self._decoder.shutdown(wait=False, cancel_futures=True)

    async def survey(self) -> None:
        """Find out what is to be watched, and what is missing. Raises where the database is away."""
        now = self._clock()
        running = {found.printer_id: found for found in self._prints.prints.values() if found.state in _RUNNING}
        survey = await self._ask(running)
        if now - self._asked_at > 3 * self._settings.watch_poll_s:
            self._asking_since = now  # nobody noted for a while what comes: nothing was missing meanwhile
        self._asked_at = now
        still_open = await self._end_what_is_over(survey)
        self._watch(survey, running, still_open, now)
        await self._miss(survey, running, still_open, now)

    async def look(self) -> None:
        """Look at the pictures that came since the last time. All that came is noted before any of it is unpacked."""
        shots: list[tuple[Watched, Shot]] = []
        for watched in list(self.watched.values()):
            before = watched.newest
            shot = await watched.take(self._hub, self._clock())
            if watched.newest is not before and watched.place.running is not None:
                self._seen.add(watched.place.camera_id)
            if shot is not None:
                shots.append((watched, shot))
        for watched, shot in shots:
            if self.watched.get(watched.place.camera_id) is watched:
                await self._look_at(watched, shot)

    async def _look_at(self, watched: Watched, shot: Shot) -> None:
        now = self._clock()
        look, cost_s = await asyncio.get_running_loop().run_in_executor(self._decoder, _look_of, shot.jpeg)
        watched.rest(cost_s / SHARE, now)
        if isinstance(look, Unreadable):
            log.info("not_a_picture", camera=show("camera", watched.place.camera_id), error=str(look)[:200])
            return
        self._records.metrics.pictures.inc()
        for sign in watched.signs.take(look, shot.etag, now):
            await self._take_in(watched, sign, shot)

    async def _ask(self, running: Mapping[UUID, Print]) -> _Survey:
        here = self._hub.connected()
        seen, self._seen = self._seen, set()
        try:
            if seen:
                async with self._database.unit_of_work() as session:
                    await repository.note_sightings(session, seen)
            async with self._database.reading() as session:
                rows = await repository.cameras(session, printer_ids=list(running), camera_ids=here)
                ids = [row.id for row in rows]
                policies = await repository.policies(session, {row.organisation_id for row in rows})
                open_ = await repository.open_ones(session, ids)
                unseen_for = await repository.unseen_for(session, ids)
        except BaseException:
            self._seen |= seen
            raise
        return _Survey({row.id: row for row in rows}, Policies(policies), open_, unseen_for)

    async def _end_what_is_over(self, survey: _Survey) -> set[tuple[UUID, Kind]]:
        """End what is off, and what was about a print that ended; what remains open."""
        attempts = {decision.attempt_id for decision in survey.open if decision.attempt_id is not None}
        self._prints.ask_about(attempts)
        still_open: set[tuple[UUID, Kind]] = set()
        over: dict[EndReason, list[UUID]] = {EndReason.PRINT_ENDED: [], EndReason.SWITCHED_OFF: []}
        for decision in survey.open:
            kind = Kind(decision.kind)
            policy = survey.policies.of(decision.organisation_id, decision.printer_id)
            if kind in OF_A_PRINT and self._has_ended(decision.attempt_id):
                over[EndReason.PRINT_ENDED].append(decision.id)
            elif decision.camera_id in survey.cameras and policy.actions[kind] is Action.OFF:
                over[EndReason.SWITCHED_OFF].append(decision.id)
            else:
                still_open.add((decision.camera_id, kind))
        for reason, decisions in over.items():
            await self._records.end_all(decisions, reason)
        return still_open

    def _has_ended(self, attempt_id: UUID | None) -> bool:
        if attempt_id is None or attempt_id not in self._prints.known:
            return False
        found = self._prints.prints.get(attempt_id)
        return found is None or found.ended_at is not None

    def _watch(
        self,
        survey: _Survey,
        running: Mapping[UUID, Print],
        still_open: AbstractSet[tuple[UUID, Kind]],
        now: float,
    ) -> None:
        """Begin with cameras that are new, change those that something else prints at, and let go of the others."""
        places = {place.camera_id: place for place in self._places(survey.cameras.values(), running)}
        for camera_id, watched in list(self.watched.items()):
            place = places.get(camera_id)
            if place is None or _attempt(place) != _attempt(watched.place):
                self.watched.pop(camera_id).close()
        for camera_id, place in places.items():
            policy = survey.policies.of(place.organisation_id, place.printer_id)
            open_kinds = frozenset(kind for kind in Kind if (camera_id, kind) in still_open)
            known = self.watched.get(camera_id)
            if known is None:
                self.watched[camera_id] = Watched.begin(
                    self._hub, self._settings, place=place, policy=policy, open_kinds=open_kinds, now=now
                )
            else:
                known.change(policy, open_kinds)

    def _places(self, rows: Iterable[CameraRow], running: Mapping[UUID, Print]) -> Iterable[Place]:
        here = frozenset(self._hub.connected())
        for row in rows:
            if row.id in here:
                yield Place(row.organisation_id, row.printer_id, row.id, running.get(row.printer_id))

    async def _miss(
        self,
        survey: _Survey,
        running: Mapping[UUID, Print],
        still_open: AbstractSet[tuple[UUID, Kind]],
        now: float,
    ) -> None:
        """Notice cameras, wherever their bridge is, that should show a print and give no pictures."""
        since = {found.attempt_id: self._printing_since.get(found.attempt_id, now) for found in running.values()}
        self._printing_since = since
        limit_s = self._settings.watch_missing_after_s
        for row in survey.cameras.values():
            found = running.get(row.printer_id)
            is_open = (row.id, Kind.NO_PICTURE) in still_open
            unseen_s = survey.unseen_for.get(row.id, float("inf"))
            if is_open and unseen_s < limit_s / 2:
                await self._records.end(row.id, Kind.NO_PICTURE)
            if is_open or found is None:
                continue
            policy = survey.policies.of(row.organisation_id, row.printer_id)
            missed_s = min(unseen_s, now - since[found.attempt_id], now - self._asking_since)
            if missed_s >= limit_s and policy.actions[Kind.NO_PICTURE] is not Action.OFF:
                place = Place(row.organisation_id, row.printer_id, row.id, found)
                await self._records.keep(place.found(Kind.NO_PICTURE, value=missed_s, threshold=limit_s), policy, None)

    async def _take_in(self, watched: Watched, sign: Sign, shot: Shot) -> None:
        """Keep that trouble began or is over; where that can't be, it is found again."""
        place = watched.place
        if sign.crossing is Crossing.LEFT:
            done = await self._records.end(place.camera_id, sign.kind)
        elif watched.policy.actions[sign.kind] is Action.OFF:
            done = False
        else:
            found = place.found(sign.kind, value=sign.value, threshold=sign.threshold, captured_at=shot.captured_at)
            done = await self._records.keep(found, watched.policy, shot.jpeg)
        if not done:
            watched.signs.revert(sign.kind, entered=sign.crossing is Crossing.LEFT)


_RUNNING = frozenset({PrintState.PRINTING})


def _attempt(place: Place) -> UUID | None:
    return place.running.attempt_id if place.running else None


def _look_of(jpeg: bytes) -> tuple[Look | Unreadable, float]:
    """What a picture looks like, or why it can't be said; and the CPU seconds that this took."""
    began_s = time.thread_time()
    look: Look | Unreadable
    try:
        look = Look.of(jpeg)
    except Unreadable as error:
        look = error
    return look, time.thread_time() - began_s
