"""HTTP of signing in at providers, and of the identities there."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated
from urllib.parse import parse_qsl, urlencode

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import RedirectResponse

from fluxprint_auth.accounts import login, sign_in
from fluxprint_auth.dependencies import (
    CurrentClient,
    CurrentMailer,
    CurrentSettings,
    FreshOneself,
    LoginSessions,
    Oneself,
    Pool,
    Secrets,
)
from fluxprint_auth.providers import callback, flows, repository, service
from fluxprint_auth.providers.base import Provider
from fluxprint_auth.providers.browser import Chosen, CurrentBrowser, Known
from fluxprint_auth.providers.http import ProviderFailed
from fluxprint_auth.providers.problems import SignInCodeInvalid, StateInvalid
from fluxprint_auth.providers.schemas import (
    CodeChallenge,
    Identity,
    IdentityId,
    IdentityLink,
    LinkRequest,
    LinkStart,
    ProviderList,
    ProviderSignIn,
    ReturnTo,
)
from fluxprint_auth.providers.schemas import Provider as ShownProvider
from fluxprint_auth.sessions.schemas import Tokens
from fluxprint_auth.sessions.transport import CurrentTransport
from fluxprint_auth.settings import AuthSettings
from fluxprint_common import openapi
from fluxprint_common.database import Reading, Session
from fluxprint_common.pagination import Page, Paging, page
from fluxprint_common.problems import Invalid, Unavailable
from fluxprint_common.ratelimit import limit_by_address, limit_by_subject

router = APIRouter(prefix="/auth", tags=["auth"])

_LIMITED = limit_by_address("providers", "limit_providers")


async def _desk(
    keyring: Secrets, mailer: CurrentMailer, client: CurrentClient, settings: CurrentSettings, providers: Known
) -> service.Desk:
    return service.Desk(
        keyring=keyring,
        mailer=mailer,
        client=client,
        registration_enabled=settings.registration_enabled,
        titles={provider.name: provider.title for provider in providers.values()},
    )


CurrentDesk = Annotated[service.Desk, Depends(_desk)]


async def _arrival(
    provider: Chosen,
    pool: Pool,
    settings: CurrentSettings,
    keyring: Secrets,
    browser: CurrentBrowser,
    client: CurrentClient,
) -> Callable[[Mapping[str, str]], Awaitable[RedirectResponse]]:
    async def finish(parameters: Mapping[str, str]) -> RedirectResponse:
        address = await callback.finish(
            parameters,
            provider,
            redirect_uri=_redirect_uri(provider, settings),
            browser=browser.secret,
            pool=pool,
            keyring=keyring,
            client=client,
        )
        return RedirectResponse(address, 303, {"Cache-Control": "no-store"})

    return finish


Arrival = Annotated[Callable[[Mapping[str, str]], Awaitable[RedirectResponse]], Depends(_arrival)]


def _redirect_uri(provider: Provider, settings: AuthSettings) -> str:
    """An address of its own for each provider: what comes there is believed to come from that one (RFC 9700, 4.4)."""
    return f"{settings.public_url}/api/v1/auth/providers/{provider.name}/callback"


@router.get("/providers", summary="List the providers", openapi_extra={"security": []})
async def list_providers(providers: Known) -> ProviderList:
    """Where else one can sign in: Google, GitHub, Apple and the like, as far as they are configured here."""
    return ProviderList(providers=[ShownProvider(name=one.name, title=one.title) for one in providers.values()])


@router.get(
    "/providers/{name}/start",
    summary="Sign in at a provider",
    status_code=303,
    response_class=RedirectResponse,
    responses=openapi.problems(401, 404),
    openapi_extra={"security": []},
    dependencies=[_LIMITED],
)
async def start_provider_sign_in(
    provider: Chosen,
    session: Session,
    settings: CurrentSettings,
    keyring: Secrets,
    browser: CurrentBrowser,
    return_to: Annotated[ReturnTo | None, Query()] = None,
    code_challenge: Annotated[CodeChallenge | None, Query()] = None,
    ticket: Annotated[str | None, Query(max_length=100, description="Of linking, instead of the two others.")] = None,
) -> RedirectResponse:
    """Lead the browser to the provider. Open this address in the browser itself.

    It comes back to `return_to` with a `code`, which is good once and for a minute at `/auth/providers/token`, for who
    has the verifier of `code_challenge`; or with an `error`: `access_denied`, `provider_failed` or
    `provider_unavailable`.
    """
    start: flows.Wish | str
    if ticket is not None:
        start = ticket
    elif return_to is not None and code_challenge is not None:
        start = flows.Wish(return_to=flows.check_return_address(return_to, settings), code_challenge=code_challenge)
    else:
        raise Invalid("Send return_to and code_challenge.")
    trip = flows.new_trip()
    try:
        address = await provider.address(trip, redirect_uri=_redirect_uri(provider, settings))
    except ProviderFailed:
        raise Unavailable("The provider does not answer; try again soon, or sign in in another way.") from None
    await flows.set_out(session, provider.name, start, trip, browser=browser.secret, keyring=keyring)
    answer = RedirectResponse(address, 303, {"Cache-Control": "no-store"})
    browser.remember(answer)
    return answer


@router.get("/providers/{name}/callback", include_in_schema=False, dependencies=[_LIMITED])
async def finish_provider_sign_in(request: Request, provider: Chosen, back: Arrival) -> RedirectResponse:
    """The provider sends the browser back; for browsers only."""
    if provider.posts_back:
        raise StateInvalid
    return await back(dict(request.query_params))


@router.post("/providers/{name}/callback", include_in_schema=False, dependencies=[_LIMITED])
async def finish_posted_provider_sign_in(request: Request, provider: Chosen, back: Arrival) -> RedirectResponse:
    """The same, for providers that answer with a form."""
    if not provider.posts_back:
        raise StateInvalid
    try:
        form = dict(parse_qsl((await request.body()).decode("ascii"), max_num_fields=20))
    except ValueError:
        raise StateInvalid from None
    return await back(form)


@router.post(
    "/providers/token",
    summary="Finish signing in at a provider",
    responses=openapi.problems(401, 403, 409),
    openapi_extra={"security": []},
    dependencies=[_LIMITED],
)
async def redeem_provider_sign_in(
    body: ProviderSignIn,
    session: Session,
    sessions: LoginSessions,
    settings: CurrentSettings,
    desk: CurrentDesk,
    transport: CurrentTransport,
) -> Tokens:
    """Tokens for the code that the browser came back with. It is used up, whatever the answer.

    Who has no account yet gets one, where registration is on and the provider has verified their address. An account
    with the same address is linked where we have verified it as well; else 409 `sign_in_and_link`. An account with a
    second factor asks for its code: 401 `second_factor_required`.
    """
    code, verifier = body.code.get_secret_value(), body.code_verifier.get_secret_value()
    redeemed = await flows.redeem(session, code, verifier, keyring=desk.keyring)
    if redeemed.session_id is not None:
        raise SignInCodeInvalid  # it was for linking
    user = await service.admit(session, redeemed.profile, desk)
    login.refuse_unverified(user, required=settings.requires_verified_email)
    pair = await sign_in.complete(session, user, sessions=sessions, client=desk.client)
    return transport.hand_over(pair, body.carry)


@router.post(
    "/providers/{name}/link",
    summary="Begin to link a provider",
    status_code=201,
    responses=openapi.problems(401, 403, 404),
    dependencies=[limit_by_subject("providers", "limit_providers")],
)
async def create_provider_link(
    body: LinkRequest, principal: FreshOneself, provider: Chosen, session: Session, settings: CurrentSettings
) -> LinkStart:
    """An address that leads the browser to the provider, to sign in with it from now on too.

    It comes back to `return_to` with a `code` for `POST /auth/identities`.
    """
    wish = flows.Wish(
        return_to=flows.check_return_address(body.return_to, settings), code_challenge=body.code_challenge
    )
    ticket = await flows.give_ticket(session, provider.name, wish, session_id=principal.session_id)
    start = f"{settings.public_url}/api/v1/auth/providers/{provider.name}/start"
    return LinkStart(start_url=f"{start}?{urlencode({'ticket': ticket})}")


@router.post(
    "/identities",
    summary="Link an identity",
    status_code=201,
    responses=openapi.problems(401, 403, 409),
    dependencies=[limit_by_subject("providers", "limit_providers")],
)
async def create_identity(body: IdentityLink, principal: Oneself, session: Session, desk: CurrentDesk) -> Identity:
    """Link what the browser came back with to the account of who began it, in the session in which they did."""
    code, verifier = body.code.get_secret_value(), body.code_verifier.get_secret_value()
    redeemed = await flows.redeem(session, code, verifier, keyring=desk.keyring)
    if redeemed.session_id != principal.session_id:
        raise SignInCodeInvalid
    return Identity.model_validate(await service.link(session, principal.subject, redeemed.profile, desk))


@router.get("/identities", summary="List my identities", responses=openapi.problems(401, 403))
async def list_identities(principal: Oneself, session: Reading, paging: Paging) -> Page[Identity]:
    """What one signs in with at providers, oldest first."""
    rows = await repository.identities(session, principal.subject, after_id=paging.after_id, limit=paging.limit + 1)
    return page(rows, paging, id_of=lambda row: row.id, show=Identity.model_validate)


@router.delete(
    "/identities/{identity_id}",
    status_code=204,
    summary="Unlink an identity",
    responses=openapi.problems(401, 403, 404, 409),
)
async def delete_identity(
    identity_id: IdentityId, principal: FreshOneself, session: Session, desk: CurrentDesk
) -> Response:
    """Sign in with it no more. The last way in to an account stays: 409 `last_way_in`."""
    await service.unlink(session, principal.subject, identity_id, desk)
    return Response(status_code=204)
