"""Exchanges frames with the other replicas, for as long as somebody watches there.

Each replica says once a beat what it has and what it wants, at once where that changes. Who has a camera publishes its
frames while they are wanted, the newest at the rate of whoever wants most; who wants them feeds them to its own hub as
an uplink does. Without Redis nothing is heard, and after three beats nothing is believed: what is local goes on.
"""

import asyncio
import math
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from uuid import UUID

from prometheus_client import CollectorRegistry, Counter
from pydantic import ValidationError
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.exceptions import ConnectionError as RedisConnectionError

from fluxprint_camera.relay.channel import Ended, Publication
from fluxprint_camera.relay.frame import Frame
from fluxprint_camera.relay.hub import Hub, Uplink
from fluxprint_camera.relay.live import Live
from fluxprint_camera.replicas.directory import Directory
from fluxprint_camera.replicas.messages import (
    CONTROL,
    FRAMES,
    IN_ONE_MESSAGE,
    Has,
    Said,
    Wants,
    camera_of,
    channel_of,
    pack,
    unpack,
)
from fluxprint_camera.settings import CameraSettings
from fluxprint_common import doorbell
from fluxprint_common.doorbell import REDIS_ERRORS, Publisher
from fluxprint_common.ids import new_id, show
from fluxprint_common.logs import get_logger
from fluxprint_common.messages import Message

log = get_logger(__name__)

BEATS_BELIEVED = 3
#: Not more often than so many seconds, however much changes.
APART_S = 0.02
AT_ONCE = 64


class Replicas:
    """This process's part. `run`, `hear` and `take_frames` go under a supervisor."""

    def __init__(
        self, hub: Hub, redis: Redis, publisher: Publisher, registry: CollectorRegistry, settings: CameraSettings
    ) -> None:
        self.id = new_id()
        self.directory = Directory(believed_s=BEATS_BELIEVED * settings.replica_beat_s)
        hub.elsewhere = self.directory
        self._hub = hub
        self._redis = redis
        self._publisher = publisher
        self._beat_s = settings.replica_beat_s
        self._all_fps = settings.max_fps
        self._pubsub: PubSub | None = None
        self._had: set[UUID] = set()
        self._feeds: dict[UUID, Publication] = {}
        self._asked: dict[UUID, float] = {}  # frames a second that the others were told
        self._newest: dict[UUID, Frame] = {}
        self._tasks: dict[UUID, asyncio.Task[None]] = {}
        self._sent = Counter("camera_frames_to_replicas", "Frames published for other replicas", registry=registry)
        self._taken = Counter("camera_frames_from_replicas", "Frames taken from other replicas", registry=registry)

    async def run(self) -> None:
        """Say what there is, and see to what is wanted, for ever."""
        clock = asyncio.get_running_loop().time
        beat_at = clock()
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout_at(beat_at):
                        await self._hub.stirred.wait()
                self._hub.stirred.clear()
                self.directory.forget()
                now = clock()
                self._say(whole=now >= beat_at)
                if now >= beat_at:
                    beat_at = now + self._beat_s
                self._see_to()
                await asyncio.sleep(APART_S)
        finally:
            tasks, self._tasks = list(self._tasks.values()), {}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def hear(self) -> None:
        """Listen to what the others say, until Redis goes away."""
        await doorbell.listen(self._redis, [CONTROL], self._take)

    async def take_frames(self) -> None:
        """Hand frames that others publish to this process's hub, until Redis goes away. Of what waits, only the newest
        of each camera."""
        async with self._redis.pubsub() as pubsub:
            await pubsub.subscribe(f"{FRAMES}{self.id.hex}")  # nobody's: a connection without any is none
            self._pubsub = pubsub
            try:
                for camera_id in list(self._feeds):
                    await pubsub.subscribe(channel_of(camera_id))
                self._asked.clear()  # the newest, once more
                asked = False
                while True:
                    raw = await pubsub.get_message(timeout=doorbell.HEALTH_CHECK_S)
                    if raw is None:
                        if asked:
                            raise RedisConnectionError("Redis does not answer")
                        await pubsub.ping()
                        asked = True
                        continue
                    asked = False
                    await self._hand_on(pubsub, raw)
            finally:
                self._pubsub = None

    async def _hand_on(self, pubsub: PubSub, raw: Mapping[str, object] | None) -> None:
        newest: dict[bytes, bytes] = {}
        for _ in range(AT_ONCE):
            if raw is None:
                break
            channel, data = raw["channel"], raw["data"]
            if raw["type"] == "message" and isinstance(channel, bytes) and isinstance(data, bytes):
                newest[channel] = data
            raw = await pubsub.get_message(timeout=0)
        for channel, data in newest.items():
            try:
                self._feed(camera_of(channel), unpack(data))
            except ValueError as error:
                log.warning("frame_refused", channel=channel.decode(), error=repr(error))

    def _feed(self, camera_id: UUID, frame: Frame) -> None:
        feed = self._feeds.get(camera_id)
        if feed is None:
            return
        before = self._newest.get(camera_id)
        if before is not None and (before.sequence, before.captured_at) == (frame.sequence, frame.captured_at):
            return  # sent once more for somebody else
        self._newest[camera_id] = frame
        self._taken.inc()
        feed.publish(frame)

    async def _take(self, _channel: str, heard: Message) -> None:
        try:
            said = Said.model_validate(heard)
        except ValidationError as error:
            log.warning("replica_unreadable", errors=error.error_count())
            return
        if said.replica == self.id:
            return
        for camera_id in said.gone:
            self.directory.take_gone(said.replica, camera_id)
        for has in said.has:
            self.directory.take_has(said.replica, has)
            self._give_way(said.replica, has)
        for wants in said.wants:
            self.directory.take_wants(said.replica, wants)
        if said.has or said.wants or said.gone:
            self._see_to()

    def _give_way(self, replica: UUID, has: Has) -> None:
        """A bridge that connected to another replica has left this one, whether this one has noticed or not."""
        uplink = self._hub.uplink(has.camera_id)
        if uplink is not None and (has.began_at, replica) > (uplink.publication.began_at, self.id):
            uplink.publication.end(Ended.TAKEN_OVER)

    def _say(self, *, whole: bool) -> None:
        """Everything once a beat; between the beats what is new."""
        sources = {source.camera_id: source for source in self._hub.uplinks()}
        gone = self._had - sources.keys()
        told = [source for camera_id, source in sources.items() if whole or camera_id not in self._had]
        self._had = set(sources)
        self._publish(has=[_has(source, self._hub.live(source)) for source in told], gone=sorted(gone))
        self._publish(wants=[wants for wants in self._all_wants() if whole or self._is_news(wants)])

    def _all_wants(self) -> list[Wants]:
        if self._pubsub is None:
            return []  # nothing would come
        return [
            Wants(
                camera_id=camera_id,
                fps=publication.wanted_fps,
                viewers=self._hub.viewers_here(camera_id),
                first=camera_id not in self._asked,
            )
            for camera_id, publication in self._feeds.items()
            if publication.wanted_fps > 0
        ]

    def _is_news(self, wants: Wants) -> bool:
        return self._asked.get(wants.camera_id) != wants.fps

    def _publish(self, *, has: Sequence[Has] = (), wants: Sequence[Wants] = (), gone: Sequence[UUID] = ()) -> None:
        for start in range(0, max(len(has), len(wants), len(gone)), IN_ONE_MESSAGE):
            part = slice(start, start + IN_ONE_MESSAGE)
            said = Said(replica=self.id, has=has[part], wants=wants[part], gone=gone[part])
            self._publisher.publish(CONTROL, said.model_dump(mode="json"))
        self._asked |= {each.camera_id: each.fps for each in wants}

    def _see_to(self) -> None:
        """Begin to send what others want of ours, and to take what is wanted here of theirs."""
        for camera_id in self.directory.demanded():
            uplink = self._hub.uplink(camera_id)
            if uplink is not None and camera_id not in self._tasks:
                self._start(camera_id, self._send(camera_id, uplink.organisation_id))
        for camera_id, organisation_id in self._hub.missed():
            there = self.directory.look(camera_id=camera_id, organisation_id=organisation_id)
            if there is not None and camera_id not in self._tasks:
                self._start(camera_id, self._take_in(camera_id, organisation_id))
        for camera_id, publication in self._feeds.items():
            owner = self.directory.owner(camera_id)
            if owner is not None:
                publication.report(owner.has.trouble)

    def _start(self, camera_id: UUID, work: Coroutine[None, None, None]) -> None:
        task = self._tasks[camera_id] = asyncio.create_task(work, name=f"replicas:{camera_id.hex}")
        task.add_done_callback(partial(self._ended, camera_id))

    def _ended(self, camera_id: UUID, task: asyncio.Task[None]) -> None:
        if self._tasks.get(camera_id) is task:
            del self._tasks[camera_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("replica_task_failed", camera=show("camera", camera_id), error=repr(error))
        self._hub.stirred.set()

    async def _send(self, camera_id: UUID, organisation_id: UUID) -> None:
        """Publish a camera's frames for as long as others want them and its uplink is here."""
        log.info("frames_shared", camera=show("camera", camera_id))
        while self._hub.has_uplink(camera_id) and (demand := self.directory.wanted(camera_id))[0] > 0:
            # The bridge is asked for no more than that: whatever comes is wanted.
            fps = demand[0] if demand[0] < self._all_fps else math.inf
            with self._hub.tapping(camera_id=camera_id, organisation_id=organisation_id, max_fps=fps) as tap:
                while self._hub.has_uplink(camera_id) and self.directory.wanted(camera_id) == demand:
                    frame = await tap.next(timeout_s=self._beat_s)
                    if frame is not None:
                        await self._publish_frame(camera_id, frame)

    async def _publish_frame(self, camera_id: UUID, frame: Frame) -> None:
        try:
            await self._redis.publish(channel_of(camera_id), pack(frame))
            self._sent.inc()
        except REDIS_ERRORS as error:
            log.warning("frame_not_shared", camera=show("camera", camera_id), error=repr(error))
            await asyncio.sleep(self._beat_s)

    async def _take_in(self, camera_id: UUID, organisation_id: UUID) -> None:
        """Feed a camera that another replica has, for as long as somebody wants it here."""
        if self._hub.has_uplink(camera_id):
            return  # meanwhile
        who = {"camera_id": camera_id, "organisation_id": organisation_id}
        with self._hub.publishing(**who, expires_in_s=math.inf, fed=True) as publication:
            self._feeds[camera_id] = publication
            replica: UUID | None = None
            try:
                await self._subscribe(camera_id)
                while publication.ended is None and publication.wanted_fps > 0:
                    owner = self.directory.owner(camera_id)
                    if owner is None:
                        return
                    if owner.replica != replica:
                        self._asked.pop(camera_id, None)
                        replica = owner.replica
                    self._hub.stirred.set()  # what is wanted is said at once
                    with suppress(TimeoutError):
                        async with asyncio.timeout(self._beat_s):
                            await publication.changed()
            finally:
                del self._feeds[camera_id]
                self._asked.pop(camera_id, None)
                self._newest.pop(camera_id, None)
                await self._unsubscribe(camera_id)

    async def _subscribe(self, camera_id: UUID) -> None:
        if self._pubsub is not None:
            with suppress(*REDIS_ERRORS):  # whoever reads from it notices too, and subscribes anew
                await self._pubsub.subscribe(channel_of(camera_id))

    async def _unsubscribe(self, camera_id: UUID) -> None:
        if self._pubsub is not None:
            with suppress(*REDIS_ERRORS):
                await self._pubsub.unsubscribe(channel_of(camera_id))


def _has(source: Uplink, live: Live) -> Has:
    return Has(
        camera_id=source.camera_id,
        organisation_id=source.organisation_id,
        began_at=source.publication.began_at,
        online=live.online,
        trouble=source.publication.trouble,
        fps=live.fps,
        viewers=live.viewers,
        last_frame_at=live.last_frame_at,
    )
