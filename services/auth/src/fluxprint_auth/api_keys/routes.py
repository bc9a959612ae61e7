"""HTTP of API keys."""

from typing import Annotated

from fastapi import APIRouter, Response

from fluxprint_auth.api_keys import repository, service
from fluxprint_auth.api_keys.schemas import ApiKey, ApiKeyCreate, ApiKeyCreated
from fluxprint_auth.dependencies import CurrentClient, CurrentSettings, fresh
from fluxprint_auth.ids import ApiKeyId
from fluxprint_common import openapi
from fluxprint_common.database import Reading, Session
from fluxprint_common.ids import show
from fluxprint_common.pagination import Page, Paging, page
from fluxprint_common.permissions import Permission
from fluxprint_common.principal import Principal, require
from fluxprint_common.ratelimit import limit_by_subject

router = APIRouter(prefix="/api-keys", tags=["api-keys"])

Keeper = Annotated[Principal, require(Permission.API_KEYS_MANAGE)]
FreshKeeper = Annotated[Principal, fresh(Permission.API_KEYS_MANAGE)]


@router.post(
    "",
    status_code=201,
    summary="Create an API key",
    responses=openapi.problems(401, 403, 409),
    dependencies=[limit_by_subject("api_keys", "limit_api_keys")],
)
async def create_api_key(
    body: ApiKeyCreate,
    principal: FreshKeeper,
    session: Session,
    settings: CurrentSettings,
    client: CurrentClient,
    response: Response,
) -> ApiKeyCreated:
    """Make a key for a program. The answer holds it, which is shown only this once.

    The key does what its maker may do at that moment, within its scopes: whoever leaves the organisation, or gets a
    lower role, takes their keys along. Needs a sign-in that is fresh: 401 `reauthentication_required`.
    """
    new = service.NewKey(name=body.name, scopes=body.scopes, printer_ids=body.printer_ids, expires_at=body.expires_at)
    key, token = await service.create(session, settings, principal, new, client=client)
    response.headers["Location"] = f"/api/v1/api-keys/{show('apikey', key.id)}"
    return ApiKeyCreated(api_key=ApiKey.model_validate(key), secret=token)


@router.get("", summary="List API keys", responses=openapi.problems(401, 403))
async def list_api_keys(principal: Keeper, session: Reading, paging: Paging) -> Page[ApiKey]:
    """The caller's keys in this organisation, oldest first; for owners and managers everybody's in it."""
    rows = await repository.after(
        session,
        organisation_id=principal.organisation_id,
        user_id=service.only_of(principal),
        after_id=paging.after_id,
        limit=paging.limit + 1,
    )
    return page(rows, paging, id_of=lambda row: row.id, show=ApiKey.model_validate)


@router.get("/{api_key_id}", summary="Get an API key", responses=openapi.problems(401, 403, 404))
async def get_api_key(api_key_id: ApiKeyId, principal: Keeper, session: Reading) -> ApiKey:
    """One key, without the key itself."""
    return ApiKey.model_validate(await service.get(session, principal, api_key_id))


@router.delete("/{api_key_id}", status_code=204, summary="Revoke an API key", responses=openapi.problems(401, 403, 404))
async def delete_api_key(api_key_id: ApiKeyId, principal: Keeper, session: Session, client: CurrentClient) -> Response:
    """End a key for good: every service refuses it within a second. Owners and managers may end anybody's."""
    await service.revoke(session, principal, api_key_id, client=client)
    return Response(status_code=204)
