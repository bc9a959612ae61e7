"""Password hashes: Argon2id (RFC 9106), off the event loop, few at once."""

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError

from fluxprint_auth.accounts.credentials import normalise_password
from fluxprint_auth.accounts.strength import Owner, refuse_guessable
from fluxprint_common.logs import get_logger
from fluxprint_common.problems import Unavailable

log = get_logger(__name__)

WAIT_S = 5.0

T = TypeVar("T")


class Passwords:
    """Hashes and verifies passwords.

    Args:
        memory_kib: the memory of one hash, in KiB.
        at_once: how many hashes are computed at the same time; others wait, at most 5 s.
    """

    def __init__(self, *, memory_kib: int, time_cost: int, at_once: int) -> None:
        self._hasher = PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=1)
        self._judge = ThreadPoolExecutor(1, thread_name_prefix="strength")
        self._threads = ThreadPoolExecutor(at_once, thread_name_prefix="password")
        # Nobody's: verified where there is no account, so that the answer takes as long.
        self._decoy = self._hasher.hash(secrets.token_hex())

    async def refuse_guessable(self, password: str, owner: Owner, *, pointer: str = "/password") -> None:
        """Refuse a password that can be guessed.

        Raises:
            Invalid: with what would make it better. Unavailable: too many others wait.
        """
        await self._in_thread(lambda: refuse_guessable(password, owner, pointer=pointer), self._judge)

    async def hash(self, password: str) -> str:
        """The hash to store.

        Raises:
            Unavailable: too many others wait.
        """
        return await self._in_thread(lambda: self._hasher.hash(normalise_password(password)))

    async def verify(self, stored: str | None, password: str) -> bool:
        """Whether the password is the one of `stored`; without one it is not, at the same cost.

        Raises:
            Unavailable: too many others wait.
        """
        return await self._in_thread(lambda: self._verify(stored, normalise_password(password)))

    def is_outdated(self, stored: str) -> bool:
        """Whether a hash was made with other parameters than today's."""
        return self._hasher.check_needs_rehash(stored)

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._judge.shutdown(wait=False, cancel_futures=True)

    def _verify(self, stored: str | None, password: str) -> bool:
        try:
            matches = self._hasher.verify(stored or self._decoy, password)
        except VerifyMismatchError:
            return False
        except (VerificationError, InvalidHashError):
            log.exception("password_hash_unreadable")
            return False
        return matches and stored is not None

    async def _in_thread(self, work: Callable[[], T], threads: ThreadPoolExecutor | None = None) -> T:
        try:
            async with asyncio.timeout(WAIT_S):
                return await asyncio.get_running_loop().run_in_executor(threads or self._threads, work)
        except TimeoutError:
            raise Unavailable("Too many people are signing in at this moment; try again soon.") from None
