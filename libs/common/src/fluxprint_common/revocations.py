"""Access tokens that were ended before their time: a list in each process, which no request waits for.

Auth writes a row and rings; every service hears it over Redis, and asks auth every few seconds all the same: rings are
lost, and Redis may be away. While auth is away too, what is known goes on. See docs/adr/0013-accounts.md.
"""

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urljoin
from uuid import UUID

import httpx

from fluxprint_common.logs import get_logger
from fluxprint_common.messages import Message

log = get_logger(__name__)

CHANNEL = "fluxprint:revocations"
PATH = "/internal/revocations"
CAPACITY = 100_000
RETRY_S = 1.0
TIMEOUT_S = 3.0
_MAX_PAGES = CAPACITY // 100

End = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Revocation:
    """Tokens that are refused.

    Attributes:
        sid: what they end with: a session, an API key, a bridge.
        before: those made until then; None: all of them.
    """

    sid: UUID
    before: datetime | None


@dataclass(frozen=True)
class Batch:
    """Some revocations; `after` is what to ask with for those that follow, at once where there are `more`."""

    revocations: Sequence[Revocation]
    after: int
    more: bool


Source = Callable[[int], Awaitable[Batch]]
"""Revocations behind a position, which is 0 at first."""


class Revocations:
    """What this process knows to be revoked.

    Args:
        kept_s: for how long after a revocation a token that it refuses may still be alive.
        capacity: so many are kept; beyond it the oldest are forgotten, with a word in the log.
    """

    def __init__(self, *, kept_s: float, capacity: int = CAPACITY, clock: Callable[[], float] = time.monotonic) -> None:
        self._kept_s = kept_s
        self._capacity = capacity
        self._clock = clock
        #: By `sid`, in the order in which they are forgotten: refused until when they were made, and forgotten when.
        self._refused: OrderedDict[UUID, tuple[float, float]] = OrderedDict()
        self._watching: dict[UUID, set[_Watch]] = {}

    def __len__(self) -> int:
        return len(self._refused)

    def add(self, revocation: Revocation) -> None:
        """Refuse these tokens from now on, and end what is open with one of them; nothing where it is known."""
        before = math.inf if revocation.before is None else revocation.before.timestamp()
        known, _ = self._refused.get(revocation.sid, (-math.inf, 0.0))
        if before <= known:
            return
        now = self._clock()
        self._refused[revocation.sid] = before, now + self._kept_s
        self._refused.move_to_end(revocation.sid)
        self._forget(now)
        for watch in list(self._watching.get(revocation.sid, ())):
            if watch.issued <= before:
                _call(watch.end)

    def refuse(self, sid: UUID, issued_at: datetime) -> bool:
        """Whether a token is refused. Tokens count whole seconds: one made in the second of the revocation is."""
        return self._is_refused(sid, issued_at.timestamp())

    def watching(self, sid: UUID, issued_at: datetime, end: End, *others: UUID) -> AbstractContextManager[None]:
        """Call `end` (quick, no I/O) when the token behind a stream or a socket is revoked meanwhile, or anything else
        that it stands on, which may be the same again."""
        return _Watch(self._watching, tuple({sid, *others}), issued_at.timestamp(), end, self._is_refused)

    def _is_refused(self, sid: UUID, issued: float) -> bool:
        known = self._refused.get(sid)
        return known is not None and issued <= known[0]

    def _forget(self, now: float) -> None:
        while self._refused:
            _before, forgotten_at = next(iter(self._refused.values()))
            if len(self._refused) > self._capacity:
                log.error("revocation_forgotten_early", capacity=self._capacity)
            elif forgotten_at > now:
                return
            self._refused.popitem(last=False)


class _Watch(AbstractContextManager[None]):
    """One who wants to hear of revocations. There is one for each viewer, for hours: it is small."""

    __slots__ = ("_is_refused", "_sids", "_watching", "end", "issued")

    def __init__(
        self,
        watching: dict[UUID, set["_Watch"]],
        sids: tuple[UUID, ...],
        issued: float,
        end: End,
        is_refused: Callable[[UUID, float], bool],
    ) -> None:
        self.issued = issued
        self.end = end
        self._watching = watching
        self._sids = sids
        self._is_refused = is_refused

    def __enter__(self) -> None:
        for sid in self._sids:
            self._watching.setdefault(sid, set()).add(self)
            if self._is_refused(sid, self.issued):
                _call(self.end)  # between the check of the token and here

    def __exit__(self, *_error: object) -> None:
        for sid in self._sids:
            self._watching[sid].discard(self)
            if not self._watching[sid]:
                del self._watching[sid]


def _call(end: End) -> None:
    try:
        end()
    except Exception:
        log.exception("revoked_but_not_ended")  # the others must end all the same


class Follower:
    """Keeps a list up to date by asking its source again and again."""

    def __init__(self, revocations: Revocations, source: Source) -> None:
        self._revocations = revocations
        self._source = source
        self._after = 0
        self._lock = asyncio.Lock()

    async def ask(self) -> bool:
        """Learn what there is to learn now; False where the source is away."""
        async with self._lock:
            for _page in range(_MAX_PAGES):
                try:
                    batch = await self._source(self._after)
                except Exception as error:
                    log.warning("revocations_not_asked", error=repr(error))
                    return False
                for revocation in batch.revocations:
                    self._revocations.add(revocation)
                self._after = batch.after
                if not batch.more:
                    break
            return True

    async def run(self, interval_s: float) -> None:
        """Ask for ever; at first more often, until there was an answer: nothing is known yet."""
        pause_s = RETRY_S
        while True:
            pause_s = interval_s if await self.ask() else min(interval_s, 2 * pause_s)
            await asyncio.sleep(pause_s)

    async def hear(self, _channel: str, heard: Message) -> None:
        """Take a ring."""
        try:
            revocations = parse(heard)
        except ValueError:
            log.warning("revocations_unreadable")
            return
        for revocation in revocations:
            self._revocations.add(revocation)


def over_http(http: httpx.AsyncClient, jwks_url: str) -> Source:
    """Asks the auth service, at the address that its keys are fetched from."""
    url = urljoin(jwks_url, PATH)

    async def ask(after: int) -> Batch:
        answer = await http.get(url, params={"after": after}, timeout=TIMEOUT_S)
        answer.raise_for_status()
        document = answer.json()
        return Batch(parse(document), after=int(document["after"]), more=document["more"] is True)

    return ask


def message(revocations: Sequence[Revocation]) -> dict[str, object]:
    """Revocations as they are sent."""
    return {
        "revocations": [
            {"sid": item.sid.hex, "before": item.before.timestamp() if item.before else None} for item in revocations
        ]
    }


def parse(document: Mapping[str, object]) -> list[Revocation]:
    """Revocations as `message` wrote them.

    Raises:
        ValueError: it is something else.
    """
    items = document.get("revocations")
    if not isinstance(items, list):
        raise ValueError("no revocations")
    try:
        return [Revocation(UUID(hex=item["sid"]), _moment(item["before"])) for item in items]
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError("no revocations") from error


def _moment(value: float | None) -> datetime | None:
    return None if value is None else datetime.fromtimestamp(float(value), UTC)
