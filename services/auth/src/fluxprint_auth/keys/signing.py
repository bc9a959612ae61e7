"""The signing keys as a running process has them: one that signs, and all whose tokens are believed."""

import asyncio
import time
from dataclasses import dataclass
from math import inf

from fluxprint_auth.database import transaction_time
from fluxprint_auth.keyring import Keyring, Purpose, Unreadable
from fluxprint_auth.keys import repository, service
from fluxprint_auth.keys.models import SigningKeyRow
from fluxprint_common.background import every
from fluxprint_common.database import Database
from fluxprint_common.logs import get_logger
from fluxprint_common.problems import Unavailable
from fluxprint_common.tokens import SigningKey, UnknownKey, VerificationKey, public_key

log = get_logger(__name__)

ASK_AGAIN_S = 1.0  # for a key that nobody knows: forged tokens must not be turned into load


@dataclass(frozen=True)
class _Known:
    """A key, and by this process's own clock from when it signs and until when its tokens are believed."""

    signs: SigningKey
    verifies: VerificationKey
    signs_at: float
    ends_at: float


class SigningKeys:
    """A `KeySet` of our own keys: what `/auth/jwks` shows, and what signs.

    A key that the settings supply signs; where they supply none, the newest stored one does whose time has come. Stored
    keys are believed in either case, so that one can change from the one way to the other. Processes look for rotations
    every few seconds; the new key is published long before it signs, so that nobody has to look at the right moment.
    """

    def __init__(
        self, database: Database, keyring: Keyring, *, supplied: SigningKey | None, previous: SigningKey | None
    ) -> None:
        self._database = database
        self._keyring = keyring
        self._supplied = supplied
        given = [key for key in (supplied, previous) if key is not None]
        self._given = {key.kid: _Known(key, public_key(key.public_jwk), -inf, inf) for key in given}
        self._stored: dict[str, _Known] = {}
        self._loading = asyncio.Lock()
        self._asked_at = -inf
        self._unreadable: set[str] = set()

    @property
    def is_supplied(self) -> bool:
        """Whether the settings give the key that signs, so that it can't be rotated here."""
        return self._supplied is not None

    async def start(self) -> None:
        """Read the stored keys, and make the first one where none is supplied. Without a database that waits.

        Raises:
            Unreadable: they were encrypted with another secret.
        """
        try:
            await self.load()
        except Unreadable:
            raise
        except Exception as error:  # whatever a database can be short of, the loop finds when it is there
            log.warning("signing_keys_wait", error=repr(error)[:300])

    async def keep_current(self, interval_s: float) -> None:
        """Look for rotations, for ever."""
        await every(interval_s, self.load)

    async def load(self) -> None:
        """Read the stored keys again."""
        async with self._loading:
            await self._read()
            if self._supplied is None and not self._stored and not self._unreadable:
                async with self._database.unit_of_work() as session:
                    await service.ensure(session, self._keyring)
                await self._read()
            if self._supplied is None and not self._stored:
                raise Unreadable(
                    "the signing keys were encrypted with another secret; is AUTH_PREVIOUS_SECRET missing?"
                )

    def current(self) -> SigningKey:
        """The key that signs now.

        Raises:
            Unavailable: none was ever read.
        """
        if self._supplied is not None:
            return self._supplied
        now = time.monotonic()
        usable = [known for known in self._stored.values() if known.signs_at <= now < known.ends_at]
        if not usable:
            raise Unavailable("Tokens cannot be signed yet: the signing keys are not available.")
        return max(usable, key=lambda known: known.signs_at).signs

    def documents(self) -> list[dict[str, str]]:
        """The public halves of all keys whose tokens are believed.

        Raises:
            Unavailable: none was ever read; a set without keys would be kept by whoever asks.
        """
        found = [known.signs.public_jwk for known in (self._given | self._alive()).values()]
        if not found:
            raise Unavailable("The signing keys are not available yet.")
        return found

    async def get(self, kid: str) -> VerificationKey:
        """The key of that id. One that another process just made is looked for.

        Raises:
            UnknownKey: it is not one of ours.
        """
        known = self._find(kid)
        if known is None:
            async with self._loading:
                if self._find(kid) is None and time.monotonic() - self._asked_at >= ASK_AGAIN_S:
                    self._asked_at = time.monotonic()
                    await self._read()
            known = self._find(kid)
        if known is None:
            raise UnknownKey("unknown kid")
        return known.verifies

    def _find(self, kid: str) -> _Known | None:
        return self._given.get(kid) or self._alive().get(kid)

    def _alive(self) -> dict[str, _Known]:
        now = time.monotonic()
        return {kid: known for kid, known in self._stored.items() if now < known.ends_at}

    async def _read(self) -> None:
        async with self._database.reading() as session:
            there = await transaction_time(session)
            here = time.monotonic()
            rows = await repository.published(session)
        stored: dict[str, _Known] = {}
        for row in rows:
            if (opened := self._opened(row)) is not None:
                signs_at = here + (row.signs_from - there).total_seconds()
                until = row.published_until
                ends_at = inf if until is None else here + (until - there).total_seconds()
                stored[row.kid] = _Known(*opened, signs_at, ends_at)
        self._stored = stored

    def _opened(self, row: SigningKeyRow) -> tuple[SigningKey, VerificationKey] | None:
        """The key of a row, or None where it can't be decrypted: who writes into the table alone makes no key.

        One that is known already stays the same object: by that its tokens are known again.
        """
        known = self._stored.get(row.kid)
        if known is not None:
            return known.signs, known.verifies
        try:
            key = SigningKey(self._keyring.decrypt(Purpose.SIGNING_KEY, row.private_key).decode())
        except Unreadable:
            if row.kid not in self._unreadable:
                self._unreadable.add(row.kid)
                log.error("signing_key_unreadable", kid=row.kid, hint="is AUTH_PREVIOUS_SECRET missing?")
            return None
        return key, public_key(key.public_jwk)
