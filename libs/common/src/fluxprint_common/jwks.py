"""The issuer's published keys (RFC 7517), fetched when a token names a key that is not known yet, and cached."""

import asyncio
import time
from collections.abc import Callable, Mapping

import httpx

from fluxprint_common.logs import get_logger
from fluxprint_common.problems import Unavailable
from fluxprint_common.tokens import UnknownKey, VerificationKey, public_key

log = get_logger(__name__)

MAX_KEYS = 20


class JwksClient:
    """A `KeySet` over HTTP.

    An unknown `kid` causes at most one fetch per `cooldown_s`, so that forged tokens can't be turned into load.
    Known keys are used until `max_age_s`, so that one that was withdrawn is believed no longer than that; when the
    issuer is away then, they are used on.

    Args:
        parse: makes a key of a JWK; raises ValueError for one that is not to be used. Ours alone are the default.
    """

    def __init__(
        self,
        url: str,
        *,
        http: httpx.AsyncClient,
        cooldown_s: float = 5.0,
        max_age_s: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
        parse: Callable[[Mapping[str, object]], VerificationKey] = public_key,
    ) -> None:
        self._url = url
        self._parse = parse
        self._http = http
        self._cooldown_s = cooldown_s
        self._max_age_s = max_age_s
        self._clock = clock
        self._keys: dict[str, VerificationKey] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._lock = asyncio.Lock()

    async def get(self, kid: str) -> VerificationKey:
        """The key of that id.

        Raises:
            UnknownKey: the issuer does not publish it.
            Unavailable: no key was ever fetched and the issuer is away.
        """
        if kid in self._keys and (self._lock.locked() or not self._is_older(self._fetched_at, self._max_age_s)):
            return self._keys[kid]  # a renewal delays only the request that starts it
        async with self._lock:
            stale = self._is_older(self._fetched_at, self._max_age_s)
            if (stale or kid not in self._keys) and self._is_older(self._tried_at, self._cooldown_s):
                await self._fetch()
        if kid in self._keys:
            return self._keys[kid]
        if self._fetched_at is None:
            raise Unavailable("Tokens cannot be checked yet: the signing keys are not available.")
        raise UnknownKey("unknown kid")

    def _is_older(self, moment: float | None, age_s: float) -> bool:
        return moment is None or self._clock() - moment >= age_s

    async def _fetch(self) -> None:
        self._tried_at = self._clock()
        try:
            answer = await self._http.get(self._url, timeout=3.0)
            answer.raise_for_status()
            documents = list(answer.json()["keys"])[:MAX_KEYS]
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            log.warning("jwks_fetch_failed", url=self._url, error=repr(error))
            return
        self._keys = {key.kid: key for key in map(self._usable, documents) if key}
        self._fetched_at = self._clock()

    def _usable(self, document: object) -> VerificationKey | None:
        """A key that we can use; others are passed over (RFC 7517, 5)."""
        try:
            return self._parse(document) if isinstance(document, dict) else None
        except (ValueError, TypeError) as error:
            log.warning("jwk_passed_over", error=repr(error))
            return None
