"""HTTP of pairing."""

from typing import Annotated

from fastapi import APIRouter, Response

from fluxprint_auth.bridges.schemas import Bridge
from fluxprint_auth.dependencies import CurrentClient, CurrentSettings, fresh
from fluxprint_auth.pairings import codes, service
from fluxprint_auth.pairings.schemas import (
    BridgePairing,
    BridgePairingApproval,
    BridgePairingPoll,
    BridgePairingStarted,
    PairedBridge,
    UserCode,
    show_pairing,
)
from fluxprint_common import openapi
from fluxprint_common.database import Reading, Session
from fluxprint_common.permissions import Permission
from fluxprint_common.principal import Principal
from fluxprint_common.ratelimit import limit_by_address, limit_by_subject

router = APIRouter(tags=["bridges"])

FreshManager = Annotated[Principal, fresh(Permission.BRIDGES_MANAGE)]
#: A code is short: whoever types one gets some tries, as a person and from an address.
_TRIES = [
    limit_by_address("pairing_codes_address", "limit_pairing_codes"),
    limit_by_subject("pairing_codes", "limit_pairing_codes"),
]


@router.post(
    "/auth/bridge-pairings",
    status_code=201,
    summary="Begin to pair a bridge",
    openapi_extra={"security": []},
    dependencies=[limit_by_address("pairings", "limit_pairings")],
)
async def start_bridge_pairing(
    session: Session, settings: CurrentSettings, client: CurrentClient, response: Response
) -> BridgePairingStarted:
    """For a bridge without a token: it shows the code and where to type it, and polls (RFC 8628)."""
    started = await service.start(session, client=client)
    response.headers["Cache-Control"] = "no-store"
    return BridgePairingStarted(
        device_code=started.device_code,
        user_code=codes.spelt(started.user_code),
        verification_url=(settings.link_base_url or settings.public_url).rstrip("/") + "/pair",
        expires_in_s=started.expires_in_s,
        interval_s=started.interval_s,
    )


@router.post(
    "/auth/bridge-pairings/token",
    summary="Fetch a paired bridge's token",
    openapi_extra={"security": []},
    dependencies=[limit_by_address("pairing_polls", "limit_pairing_polls")],
)
async def fetch_bridge_token(body: BridgePairingPoll, session: Session, response: Response) -> PairedBridge:
    """The bridge token, once a person approved. Until then 400: `authorization_pending` (ask again after the
    interval), `slow_down` (with five seconds more between), `access_denied` or `expired_token` (begin again).
    """
    bridge, token = await service.fetch(session, body.device_code.get_secret_value())
    response.headers["Cache-Control"] = "no-store"
    return PairedBridge(bridge_id=bridge.id, name=bridge.name, bridge_token=token)


@router.get(
    "/bridges/pairings/{user_code}",
    summary="Look at a bridge that asks to be let in",
    responses=openapi.problems(401, 403, 404),
    dependencies=_TRIES,
)
async def get_bridge_pairing(
    user_code: UserCode, principal: FreshManager, session: Reading, client: CurrentClient
) -> BridgePairing:
    """What there is to know of it before you let it in: where it asks from, when, and what it says it is."""
    return show_pairing(await service.get(session, principal, user_code), client)


@router.post(
    "/bridges/pairings/{user_code}/approve",
    status_code=201,
    summary="Let a bridge in",
    responses=openapi.problems(401, 403, 404, 409),
    dependencies=_TRIES,
)
async def approve_bridge_pairing(
    user_code: UserCode, body: BridgePairingApproval, principal: FreshManager, session: Session, client: CurrentClient
) -> Bridge:
    """Make it a bridge of your organisation. It fetches its token by itself, within seconds.

    Follow it at the bridge itself, whose `last_used_at` is set when it works: codes are limited in number.
    """
    return Bridge.model_validate(await service.approve(session, principal, user_code, name=body.name, client=client))


@router.post(
    "/bridges/pairings/{user_code}/deny",
    status_code=204,
    summary="Refuse a bridge",
    responses=openapi.problems(401, 403, 404, 409),
    dependencies=_TRIES,
)
async def deny_bridge_pairing(
    user_code: UserCode, principal: FreshManager, session: Session, client: CurrentClient
) -> Response:
    """Tell the bridge that nobody here wants it."""
    await service.deny(session, principal, user_code, client=client)
    return Response(status_code=204)
