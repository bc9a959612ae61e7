"""Devices that somebody signed in with before. Strangers who guess at an account don't lock its owner's devices out.

A device is known by its `fxd_` token, which allows nothing: guesses that come with it are counted for it alone.
Source: OWASP Authentication Cheat Sheet and "Slow Down Online Guessing Attacks with Device Cookies".
"""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fluxprint_auth import opaque
from fluxprint_auth.clients import Client
from fluxprint_auth.trusted_devices import repository
from fluxprint_auth.trusted_devices.networks import network_of

AT_MOST = 20
LIFETIME = timedelta(days=90)  # since the last login
_NOBODY = UUID(int=0)


@dataclass(frozen=True)
class Acquaintance:
    """What is known of where a login comes from.

    Attributes:
        device_id: of a device that the account trusts.
        network_known: whether such a device signed in from the same address range last.
    """

    device_id: UUID | None
    network_known: bool


async def recognise(session: AsyncSession, user_id: UUID | None, client: Client) -> Acquaintance:
    """What an account knows of a client; without an account nothing, at the same cost."""
    token_hash = opaque.digest(client.device_token)
    device_id = await repository.find(session, user_id or _NOBODY, token_hash)
    known = await repository.knows_network(session, user_id or _NOBODY, network_of(client.address))
    return Acquaintance(device_id, known)


async def trust(session: AsyncSession, user_id: UUID, client: Client) -> str:
    """Trust the device that somebody has just signed in with; returns the token that it keeps."""
    network = network_of(client.address)
    known = await repository.find(session, user_id, opaque.digest(client.device_token))
    if known is not None:
        await repository.use(session, known, network=network, lifetime=LIFETIME)
        return client.device_token
    token = opaque.new_token(opaque.DEVICE)
    await repository.insert(
        session, user_id, token_hash=opaque.digest(token), network=network, lifetime=LIFETIME, at_most=AT_MOST
    )
    return token
