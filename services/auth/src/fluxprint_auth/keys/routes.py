"""HTTP of the signing keys."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Response

from fluxprint_auth.dependencies import CurrentClient, CurrentSettings, Keys, Secrets, fresh
from fluxprint_auth.keys import repository, service
from fluxprint_auth.keys.problems import SigningKeySupplied
from fluxprint_auth.keys.schemas import (
    JsonWebKey,
    JsonWebKeySet,
    KeptSigningKey,
    SigningKeyRotation,
    show_kept,
)
from fluxprint_common import openapi
from fluxprint_common.database import Reading, Session
from fluxprint_common.pagination import Page, Paging, page
from fluxprint_common.permissions import Permission
from fluxprint_common.principal import Principal, require

router = APIRouter(tags=["auth"])

Administrator = Annotated[Principal, require(Permission.INSTALLATION_MANAGE)]
FreshAdministrator = Annotated[Principal, fresh(Permission.INSTALLATION_MANAGE)]


@router.get("/auth/jwks", summary="Get the public signing keys", openapi_extra={"security": []})
async def get_jwks(keys: Keys, response: Response) -> JsonWebKeySet:
    """The keys that verify access tokens. Fetch them again when a token names one that you don't know."""
    documents = keys.documents()
    response.headers["Cache-Control"] = "public, max-age=300"
    return JsonWebKeySet(keys=[JsonWebKey.model_validate(document) for document in documents])


@router.get("/admin/signing-keys", summary="List the signing keys", responses=openapi.problems(401, 403))
async def list_signing_keys(_who: Administrator, session: Reading, paging: Paging) -> Page[KeptSigningKey]:
    """The keys that are kept in the database, oldest first. One that the settings supply is not among them."""
    rows = await repository.after(session, after_id=paging.after_id, limit=paging.limit + 1)
    signing = await service.signing(session)
    return page(rows, paging, id_of=lambda row: row.id, show=lambda row: show_kept(row, signing))


@router.post(
    "/admin/signing-keys/rotate",
    status_code=201,
    summary="Rotate the signing key",
    responses=openapi.problems(401, 403, 409),
)
async def rotate_signing_key(
    body: SigningKeyRotation,
    who: FreshAdministrator,
    session: Session,
    keys: Keys,
    keyring: Secrets,
    settings: CurrentSettings,
    client: CurrentClient,
) -> KeptSigningKey:
    """Make the next key. It is published at once and signs some minutes later; the one before stays until its last
    token is over, so that no request fails.

    With `at_once` the others are withdrawn in the same moment: for a key that somebody else knows. Clients then have
    to refresh their tokens.
    """
    if keys.is_supplied:
        raise SigningKeySupplied
    if body.at_once:
        row = await service.replace(session, keyring, client=client, principal=who)
    else:
        row = await service.rotate(
            session,
            keyring,
            lead=timedelta(seconds=settings.signing_key_lead_s),
            tokens_live=timedelta(seconds=settings.access_token_s),
            client=client,
            principal=who,
        )
    return show_kept(row, await service.signing(session))
