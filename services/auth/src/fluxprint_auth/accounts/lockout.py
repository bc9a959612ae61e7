"""Counting failed logins, so that nobody guesses for long, and nobody locks others out at will.

| counted by                        | locks                                            | what it keeps from |
|-----------------------------------|--------------------------------------------------|--------------------|
| account and address range         | that account for that range                      | guessing at one account |
| account, over all ranges          | that account for ranges that it does not know    | guessing from many places |
| address range, over all accounts  | that range, but for devices that accounts trust  | few guesses at many accounts |
| trusted device                    | that device                                      | guessing with a stolen device |

A login with a trusted device counts for that device alone. Everything is in PostgreSQL: it holds without Redis.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from fluxprint_auth.accounts.models import LoginThrottleRow
from fluxprint_auth.clients import Client
from fluxprint_auth.settings import AuthSettings
from fluxprint_auth.trusted_devices.networks import network_of
from fluxprint_auth.trusted_devices.service import Acquaintance


@dataclass(frozen=True, kw_only=True)
class Lockout:
    """After so many failures something is locked for a while; after another while they are forgotten.

    Attributes:
        failures: in a row, of one account from one range or device.
        account_failures: of one account from everywhere, within `reset`.
        network_failures: from one range, whatever the account, within `reset`.
    """

    failures: int
    account_failures: int
    network_failures: int
    lock: timedelta
    reset: timedelta

    @classmethod
    def of(cls, settings: AuthSettings) -> Self:
        return cls(
            failures=settings.lockout_failures,
            account_failures=settings.lockout_account_failures,
            network_failures=settings.lockout_network_failures,
            lock=timedelta(seconds=settings.lockout_s),
            reset=timedelta(seconds=settings.lockout_reset_s),
        )


@dataclass(frozen=True, kw_only=True)
class Counter:
    """One thing that failures are counted by.

    Attributes:
        place: a word for the log.
        account: None where it counts over all accounts.
        in_a_row: a success forgets them, and so does time without another one; otherwise only time since the first.
    """

    key: str
    place: str
    account: str | None
    limit: int
    in_a_row: bool

    def count(self, row: LoginThrottleRow, lockout: Lockout, now: datetime) -> bool:
        """Count a failure; True where that was one too many."""
        since = row.last_failed_at if self.in_a_row else (row.began_at or now)
        if row.locked_until is not None or now - since >= lockout.reset:
            row.failures = 0
        if row.failures == 0:
            row.began_at = now
        row.failures += 1
        row.last_failed_at = now
        row.locked_until = now + lockout.lock if row.failures >= self.limit else None
        return row.locked_until is not None


def account_key(email: str) -> str:
    """What failures are counted by: people type passwords into the wrong field, so the address itself is not kept."""
    return hashlib.sha256(email.encode()).hexdigest()


def counters_of(lockout: Lockout, account: str, client: Client, known: Acquaintance) -> list[Counter]:
    """What a login is counted by; the first one is its own. Rows are locked in this order, so never in a circle."""
    if known.device_id is not None:
        return [_counter("device", account, str(known.device_id), lockout.failures, in_a_row=True)]
    network = network_of(client.address)
    own = _counter("network", account, network, lockout.failures, in_a_row=True)
    everywhere = _counter("account", account, "", lockout.account_failures, in_a_row=False)
    spraying = _counter("all_accounts", None, network, lockout.network_failures, in_a_row=False)
    return [own, spraying] if known.network_known else [own, everywhere, spraying]


def _counter(place: str, account: str | None, where: str, limit: int, *, in_a_row: bool) -> Counter:
    key = hashlib.sha256(f"{place}\0{account or ''}\0{where}".encode()).hexdigest()
    return Counter(key=key, place=place, account=account, limit=limit, in_a_row=in_a_row)
