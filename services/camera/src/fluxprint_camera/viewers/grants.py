"""What lets somebody watch, for as long as they do: ended at once when it is taken back, and looked at anew by the
minute where it outlives an access token."""

import time
from collections import Counter, OrderedDict
from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from uuid import UUID

from fluxprint_camera.viewers.watcher import Watcher
from fluxprint_common.background import every
from fluxprint_common.doorbell import Publisher
from fluxprint_common.logs import get_logger
from fluxprint_common.permissions import Permission
from fluxprint_common.problems import Unauthenticated, Unavailable
from fluxprint_common.revocations import CHANNEL, End, Revocation, Revocations, message
from fluxprint_common.standing import MAX_GROUNDS, Ask, Ground, NoAnswer

log = get_logger(__name__)

KEPT_S = 30.0
KEPT = 4096

_Needs = tuple[Ground, frozenset[Permission]]


class Grants:
    """Of this process.

    Attributes:
        revocations: what ends: sessions, API keys, shares, cameras; each by its id.

    Args:
        ask: asks auth what a ground allows.
    """

    def __init__(self, revocations: Revocations, publisher: Publisher, ask: Ask) -> None:
        self.revocations = revocations
        self._publisher = publisher
        self._ask = ask
        self._open: Counter[_Needs] = Counter()
        #: Grounds that were found to stand: at what moment of the calendar, and until when that is believed.
        self._stood: OrderedDict[_Needs, tuple[datetime, float]] = OrderedDict()

    def refuse(self, watcher: Watcher) -> bool:
        """Whether what somebody watches by was revoked."""
        return self.revocations.refuse(watcher.session_id, watcher.issued_at)

    def watching(self, watcher: Watcher, camera_id: UUID | None, end: End) -> AbstractContextManager[None]:
        """Call `end` (quick, no I/O) when somebody may no longer watch this camera, or when it is no more. Without a
        camera: what was kept of one, which outlives it."""
        others = watcher.heard_of if camera_id is None else (camera_id, *watcher.heard_of)
        watch = self.revocations.watching(watcher.session_id, watcher.issued_at, end, *others)
        return watch if watcher.ground is None else _Open(watch, self._open, (watcher.ground, watcher.needs))

    async def confirm(self, ground: Ground, needs: frozenset[Permission]) -> datetime:
        """Since when it is known that a ground stands: from this moment, or for up to half a minute.

        Raises:
            Unauthenticated: it does not. Unavailable: auth does not say.
        """
        now = time.monotonic()
        found = self._stood.get((ground, needs))
        if found is not None and now < found[1] and not self._touched(ground, found[0]):
            return found[0]
        asked_at = datetime.now(UTC)
        try:
            [standing] = await self._ask([ground])
        except NoAnswer as error:
            log.warning("standing_not_asked", error=error.args[0])
            raise Unavailable("Whether this still holds could not be looked up; try again.") from error
        if standing is None or not needs <= standing.permissions:
            raise Unauthenticated("What this was made with has ended; ask for a new one.")
        self._stood[ground, needs] = asked_at, now + KEPT_S
        self._stood.move_to_end((ground, needs))
        if len(self._stood) > KEPT:
            self._stood.popitem(last=False)
        return asked_at

    def is_gone(self, camera_id: UUID) -> bool:
        """Whether a camera was forgotten, or its printer deleted, of which a picture may still be here."""
        return self.revocations.refuse(camera_id, datetime.now(UTC))

    def end(self, ids: Iterable[UUID]) -> None:
        """Shares or cameras are no more: end what is open with them, here and in the other replicas."""
        gone = [Revocation(sid, None) for sid in ids]
        for revocation in gone:
            self.revocations.add(revocation)
        self._publisher.publish(CHANNEL, message(gone))

    async def run(self, interval_s: float) -> None:
        """Look at what is open, for ever. While auth is away, it stays open: nothing says that it may not."""
        await every(interval_s, self.look)

    async def look(self) -> None:
        """End what is open on a ground that is gone."""
        every_one = list(self._open)
        for start in range(0, len(every_one), MAX_GROUNDS):
            some = every_one[start : start + MAX_GROUNDS]
            try:
                standings = await self._ask([ground for ground, _needs in some])
            except NoAnswer as error:
                log.warning("standing_not_asked", error=error.args[0])
                return
            for (ground, needs), standing in zip(some, standings, strict=True):
                if standing is None or not needs <= standing.permissions:
                    self._stood.pop((ground, needs), None)
                    self._fall(ground)

    def _fall(self, ground: Ground) -> None:
        """End what is open on a ground, and let nobody begin anew with what was made on it until now."""
        sid = ground.session_id or ground.api_key_id or ground.user_id
        self.revocations.add(Revocation(sid, datetime.now(UTC)))

    def _touched(self, ground: Ground, since: datetime) -> bool:
        ids = (ground.session_id, ground.api_key_id, ground.user_id)
        return any(self.revocations.refuse(sid, since) for sid in ids if sid is not None)


class _Open(AbstractContextManager[None]):
    """Something that is open for as long as a ground stands."""

    __slots__ = ("_needs", "_open", "_watch")

    def __init__(self, watch: AbstractContextManager[None], open_: Counter[_Needs], needs: _Needs) -> None:
        self._watch = watch
        self._open = open_
        self._needs = needs

    def __enter__(self) -> None:
        self._watch.__enter__()
        self._open[self._needs] += 1

    def __exit__(self, *error: object) -> None:
        self._open[self._needs] -= 1
        if not self._open[self._needs]:
            del self._open[self._needs]
        self._watch.__exit__(None, None, None)
