"""The way to a provider and back. Each step is taken once, and only by who took the one before.

Against what: a forged or foreign answer (state, bound to the browser by a cookie), one provider's answer taken for
another's (an address of its own for each, and `iss`), a stolen code (PKCE towards the provider, and a verifier of the
client's own towards us), tokens in addresses (there are none). Source: RFC 9700 (security best current practice).
"""

import hmac
import json
import secrets
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import UUID

from authlib.common.urls import add_params_to_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth import opaque
from fluxprint_auth.keyring import Keyring, Purpose
from fluxprint_auth.providers import repository
from fluxprint_auth.providers.base import Profile, Trip
from fluxprint_auth.providers.models import Stage
from fluxprint_auth.providers.problems import ReturnAddressRefused, SignInCodeInvalid, StateInvalid
from fluxprint_auth.settings import AuthSettings

TICKET_LIVES = timedelta(minutes=1)
AWAY_AT_MOST = timedelta(minutes=10)
CODE_LIVES = timedelta(minutes=1)


@dataclass(frozen=True, kw_only=True)
class Wish:
    """Where a client wants its code, and what only it can redeem it with (RFC 7636, S256)."""

    return_to: str
    code_challenge: str


@dataclass(frozen=True, kw_only=True)
class Return:
    """Somebody who came back from a provider."""

    flow_id: UUID
    trip: Trip
    return_to: str


@dataclass(frozen=True, kw_only=True)
class Redeemed:
    """Who a provider says somebody is; `session_id` is of the signed-in person who wants to link that."""

    profile: Profile
    session_id: UUID | None


def new_secret() -> str:
    """256 bits, for addresses and cookies."""
    return secrets.token_urlsafe(32)


def new_trip() -> Trip:
    """The secrets of one way."""
    return Trip(state=new_secret(), verifier=new_secret(), nonce=new_secret())


def check_return_address(address: str, settings: AuthSettings) -> str:
    """The address, where it leads to a page of ours or to one that may call us.

    Raises:
        ReturnAddressRefused
    """
    allowed = {settings.public_url, *settings.cors_origins}
    # What a browser reads differently from us, or strips, must not decide where the code goes.
    is_plain = address.isascii() and address.isprintable() and not set(address) & {" ", "\\", "#"}
    try:
        parts = urlsplit(address)
    except ValueError:
        raise ReturnAddressRefused from None
    if not is_plain or f"{parts.scheme}://{parts.netloc}" not in allowed:
        raise ReturnAddressRefused
    return address


async def give_ticket(session: AsyncSession, provider: str, wish: Wish, *, session_id: UUID) -> str:
    """A ticket for somebody who is signed in to link an identity: a browser that follows a link sends no token."""
    ticket = new_secret()
    await repository.insert_flow(
        session,
        provider=provider,
        stage=Stage.TICKET,
        key_hash=opaque.digest(ticket),
        return_to=wish.return_to,
        code_challenge=wish.code_challenge,
        session_id=session_id,
        lives=TICKET_LIVES,
    )
    return ticket


async def set_out(
    session: AsyncSession, provider: str, start: Wish | str, trip: Trip, *, browser: str, keyring: Keyring
) -> None:
    """Remember who goes to the provider.

    Args:
        start: what the client wants, or a ticket.
        browser: the secret of its cookie.

    Raises:
        StateInvalid: the ticket is none, was used, or is for another provider.
    """
    sealed = keyring.encrypt(
        Purpose.SIGN_IN_STATE, json.dumps({"verifier": trip.verifier, "nonce": trip.nonce}).encode()
    )
    key_hash, browser_hash = opaque.digest(trip.state), opaque.digest(browser)
    if isinstance(start, Wish):
        await repository.insert_flow(
            session,
            provider=provider,
            stage=Stage.AWAY,
            key_hash=key_hash,
            browser_hash=browser_hash,
            return_to=start.return_to,
            code_challenge=start.code_challenge,
            sealed=sealed,
            lives=AWAY_AT_MOST,
        )
    elif not await repository.use_ticket(
        session,
        opaque.digest(start),
        provider,
        key_hash=key_hash,
        browser_hash=browser_hash,
        sealed=sealed,
        lives=AWAY_AT_MOST,
    ):
        raise StateInvalid


async def come_back(session: AsyncSession, provider: str, state: str, *, browser: str, keyring: Keyring) -> Return:
    """Whoever comes back from that provider with that state.

    Raises:
        StateInvalid: nobody set out with it in this browser, to this provider, or came back already.
    """
    row = await repository.come_back(session, opaque.digest(state), provider, browser_hash=opaque.digest(browser))
    if row is None or row.sealed is None:
        raise StateInvalid
    secrets_ = json.loads(keyring.decrypt(Purpose.SIGN_IN_STATE, row.sealed))
    return Return(flow_id=row.id, trip=Trip(state=state, **secrets_), return_to=row.return_to)


async def settle(session: AsyncSession, back: Return, profile: Profile, *, keyring: Keyring) -> str:
    """Keep what the provider said, and give the address at which the client gets its code."""
    code = new_secret()
    await repository.settle(
        session,
        back.flow_id,
        key_hash=opaque.digest(code),
        sealed=keyring.encrypt(Purpose.SIGN_IN_STATE, profile.to_json()),
        lives=CODE_LIVES,
    )
    return str(add_params_to_uri(back.return_to, [("code", code)]))


async def give_up(session: AsyncSession, back: Return, error: str) -> str:
    """End the way, and give the address at which the client learns why."""
    await repository.delete_flow(session, back.flow_id)
    return str(add_params_to_uri(back.return_to, [("error", error)]))


async def redeem(session: AsyncSession, code: str, verifier: str, *, keyring: Keyring) -> Redeemed:
    """Who waits for that code. It is used up, also by somebody without the right verifier.

    Raises:
        SignInCodeInvalid
    """
    row = await repository.redeem(session, opaque.digest(code))
    if row is None or row.sealed is None:
        raise SignInCodeInvalid
    if not hmac.compare_digest(str(create_s256_code_challenge(verifier)).encode(), row.code_challenge.encode()):
        raise SignInCodeInvalid
    profile = Profile.from_json(keyring.decrypt(Purpose.SIGN_IN_STATE, row.sealed))
    return Redeemed(profile=profile, session_id=row.session_id)
