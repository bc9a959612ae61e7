"""HTTP of second factors: setting one up, signing in with it, and proving again who one is."""

from fastapi import APIRouter, Response

from fluxprint_auth.accounts import login, sign_in, step_up
from fluxprint_auth.accounts import repository as accounts
from fluxprint_auth.dependencies import (
    CurrentClient,
    CurrentMailer,
    CurrentSettings,
    FreshOneself,
    LoginSessions,
    Oneself,
    PasswordHashing,
    Pool,
    Secrets,
)
from fluxprint_auth.factors import codes, repository, service
from fluxprint_auth.factors.schemas import (
    Reauthentication,
    RecoveryCodes,
    SecondFactor,
    SecondFactorConfirmation,
    SecondFactorSetup,
    SecondFactorSignIn,
)
from fluxprint_auth.sessions.schemas import Access, Tokens, show_access
from fluxprint_auth.sessions.transport import CurrentTransport
from fluxprint_common import openapi
from fluxprint_common.database import Reading, Session
from fluxprint_common.problems import NotFound
from fluxprint_common.ratelimit import limit_by_address, limit_by_subject

router = APIRouter(prefix="/auth", tags=["auth"])


@router.get("/second-factor", summary="Get my second factor", responses=openapi.problems(401, 403))
async def get_second_factor(principal: Oneself, session: Reading) -> SecondFactor:
    """Whether signing in asks for a code, and how many recovery codes are left."""
    factor = await repository.get(session, principal.subject)
    confirmed_at = factor.confirmed_at if factor else None
    left = await repository.recovery_codes_left(session, principal.subject)
    return SecondFactor(active=confirmed_at is not None, confirmed_at=confirmed_at, recovery_codes_left=left)


@router.post(
    "/second-factor",
    status_code=201,
    summary="Set up a second factor",
    responses=openapi.problems(401, 403, 404, 409),
    dependencies=[limit_by_subject("second_factor", "limit_second_factor")],
)
async def create_second_factor(
    principal: FreshOneself, session: Session, keyring: Secrets, settings: CurrentSettings
) -> SecondFactorSetup:
    """A secret for an authenticator app (TOTP, RFC 6238). It is asked for once a first code was confirmed."""
    user = await accounts.get(session, principal.subject)
    if user is None:
        raise NotFound
    secret = await service.begin(session, user.id, keyring=keyring)
    uri = codes.otpauth_uri(secret, account=user.email, issuer=settings.second_factor_issuer)
    return SecondFactorSetup(secret=secret, otpauth_uri=uri)


@router.post(
    "/second-factor/confirm",
    summary="Confirm the second factor",
    responses=openapi.problems(401, 403, 409),
    dependencies=[limit_by_subject("second_factor", "limit_second_factor")],
)
async def confirm_second_factor(
    body: SecondFactorConfirmation,
    principal: FreshOneself,
    session: Session,
    sessions: LoginSessions,
    mailer: CurrentMailer,
    client: CurrentClient,
) -> RecoveryCodes:
    """Turn the second factor on, with a code of the app. The recovery codes are shown only now.

    Other sessions of the account go on, but make sensitive changes only with a code.
    """
    code = body.code.get_secret_value()
    recovery_codes = await service.confirm(session, principal.subject, code, mailer=mailer, client=client)
    await sessions.unprove_others(session, principal.subject, except_id=principal.session_id)
    await sessions.proved(session, principal.session_id, second_factor=True)
    return RecoveryCodes(recovery_codes=recovery_codes)


@router.post(
    "/second-factor/recovery-codes",
    summary="Renew the recovery codes",
    responses=openapi.problems(401, 403, 404),
    dependencies=[limit_by_subject("second_factor", "limit_second_factor")],
)
async def renew_recovery_codes(
    principal: FreshOneself, session: Session, mailer: CurrentMailer, client: CurrentClient
) -> RecoveryCodes:
    """New recovery codes. The ones before are worth nothing any more."""
    recovery_codes = await service.renew_recovery_codes(session, principal.subject, mailer=mailer, client=client)
    return RecoveryCodes(recovery_codes=recovery_codes)


@router.delete(
    "/second-factor", status_code=204, summary="Turn the second factor off", responses=openapi.problems(401, 403, 404)
)
async def delete_second_factor(
    principal: FreshOneself, session: Session, mailer: CurrentMailer, client: CurrentClient
) -> Response:
    """Sign in with the first factor alone from now on. The recovery codes go too."""
    await service.disable(session, principal.subject, mailer=mailer, client=client)
    return Response(status_code=204)


@router.post(
    "/login/second-factor",
    summary="Sign in with the second factor",
    responses=openapi.problems(401, 403),
    openapi_extra={"security": []},
    dependencies=[limit_by_address("second_factor", "limit_second_factor")],
)
async def log_in_with_second_factor(
    body: SecondFactorSignIn,
    session: Session,
    sessions: LoginSessions,
    settings: CurrentSettings,
    mailer: CurrentMailer,
    client: CurrentClient,
    transport: CurrentTransport,
) -> Tokens:
    """Finish a sign-in that was answered with `second_factor_required`, within 5 minutes.

    A challenge is good once, and for few wrong codes; after some wrong codes in a row the account takes none for a
    while: 429 `second_factor_locked`.
    """
    code = sign_in.Code.of(body.code, settings, mailer)
    challenge = body.challenge.get_secret_value()
    pair = await sign_in.complete_with_challenge(session, challenge, code, sessions=sessions, client=client)
    return transport.hand_over(pair, body.carry)


@router.post(
    "/reauthenticate",
    summary="Prove again who I am",
    responses=openapi.problems(401, 403, 404, 409),
    dependencies=[limit_by_subject("reauthenticate", "limit_reauthenticate")],
)
async def reauthenticate(
    body: Reauthentication,
    principal: Oneself,
    session: Session,
    pool: Pool,
    passwords: PasswordHashing,
    sessions: LoginSessions,
    settings: CurrentSettings,
    mailer: CurrentMailer,
    client: CurrentClient,
) -> Access:
    """An access token with which sensitive changes can be made for some minutes.

    Who has a second factor sends a code of it, everybody else their password. Who signs in at a provider and has
    neither signs in there again. Failures count as when signing in.
    """
    proof = step_up.Proof(
        password=body.password.get_secret_value() if body.password else None,
        code=body.code.get_secret_value() if body.code else None,
        client=client,
    )
    second_factor = await step_up.prove(
        session,
        principal,
        proof,
        lockout=login.Lockout.of(settings),
        guard=service.Guard.of(settings, mailer),
        passwords=passwords,
        pool=pool,
    )
    access = await sessions.proved(session, principal.session_id, second_factor=second_factor)
    return show_access(access)
