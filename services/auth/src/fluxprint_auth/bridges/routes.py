"""HTTP of bridge identities."""

from typing import Annotated

from fastapi import APIRouter, Response

from fluxprint_auth.bridges import repository, service
from fluxprint_auth.bridges.schemas import Bridge, BridgeAccess, BridgeCreate, BridgeCreated, BridgeTokenExchange
from fluxprint_auth.dependencies import CurrentClient, Issuer, fresh
from fluxprint_common import openapi
from fluxprint_common.database import Reading, Session
from fluxprint_common.ids import BridgeId, show
from fluxprint_common.pagination import Page, Paging, page
from fluxprint_common.permissions import Permission
from fluxprint_common.principal import Principal, require
from fluxprint_common.ratelimit import limit_by_address, limit_by_subject

router = APIRouter(tags=["bridges"])

Reader = Annotated[Principal, require(Permission.BRIDGES_READ)]
Manager = Annotated[Principal, require(Permission.BRIDGES_MANAGE)]


@router.post(
    "/bridges",
    status_code=201,
    summary="Create a bridge",
    responses=openapi.problems(401, 403, 409),
    dependencies=[limit_by_subject("bridges", "limit_bridges")],
)
async def create_bridge(
    body: BridgeCreate,
    principal: Annotated[Principal, fresh(Permission.BRIDGES_MANAGE)],
    session: Session,
    client: CurrentClient,
    response: Response,
) -> BridgeCreated:
    """Make a bridge identity. The answer holds its token, which is shown only this once.

    Needs a recent proof of identity.
    """
    bridge, token = await service.create(session, principal, name=body.name, client=client)
    response.headers["Location"] = f"/api/v1/bridges/{show('bridge', bridge.id)}"
    return BridgeCreated(bridge=Bridge.model_validate(bridge), bridge_token=token)


@router.get("/bridges", summary="List bridges", responses=openapi.problems(401, 403))
async def list_bridges(principal: Reader, session: Reading, paging: Paging) -> Page[Bridge]:
    """The organisation's bridges, oldest first."""
    rows = await repository.after(
        session, organisation_id=principal.organisation_id, after_id=paging.after_id, limit=paging.limit + 1
    )
    return page(rows, paging, id_of=lambda row: row.id, show=Bridge.model_validate)


@router.get("/bridges/{bridge_id}", summary="Get a bridge", responses=openapi.problems(401, 403, 404))
async def get_bridge(bridge_id: BridgeId, principal: Reader, session: Reading) -> Bridge:
    """One bridge."""
    return Bridge.model_validate(await service.get(session, principal, bridge_id))


@router.delete(
    "/bridges/{bridge_id}", status_code=204, summary="Revoke a bridge", responses=openapi.problems(401, 403, 404)
)
async def delete_bridge(bridge_id: BridgeId, principal: Manager, session: Session, client: CurrentClient) -> Response:
    """End a bridge for good. Its link and its cameras are cut within a second."""
    await service.revoke(session, principal, bridge_id, client=client)
    return Response(status_code=204)


@router.post(
    "/auth/bridge-token",
    summary="Get a bridge's access token",
    responses=openapi.problems(401),
    openapi_extra={"security": []},
    dependencies=[limit_by_address("bridge_token", "limit_bridge_token")],
)
async def exchange_bridge_token(
    body: BridgeTokenExchange, session: Session, issuer: Issuer, client: CurrentClient
) -> BridgeAccess:
    """What a bridge signs its requests with, for its own long-lived token."""
    token = body.bridge_token.get_secret_value()
    access = await service.exchange(session, issuer, token, instance=body.instance, client=client)
    return BridgeAccess(
        access_token=access.token,
        token_type="Bearer",  # noqa: S106
        expires_in_s=access.expires_in_s,
    )
