"""HTTP of accounts."""

from datetime import timedelta

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from fluxprint_auth.accounts import registration, repository, sign_in
from fluxprint_auth.accounts.lockout import account_key
from fluxprint_auth.accounts.problems import RegistrationDisabled
from fluxprint_auth.accounts.schemas import Me, MeUpdate, Registered, Registration, User
from fluxprint_auth.accounts.strength import Owner
from fluxprint_auth.dependencies import (
    CurrentClient,
    CurrentMailer,
    CurrentSettings,
    Limiter,
    LoginSessions,
    Oneself,
    PasswordHashing,
    Person,
)
from fluxprint_auth.organisations import service as organisations
from fluxprint_auth.organisations.roles import MemberRole
from fluxprint_auth.organisations.schemas import Organisation
from fluxprint_auth.sessions.transport import CurrentTransport
from fluxprint_auth.verification import service as verification
from fluxprint_auth.verification.schemas import MailAccepted
from fluxprint_common import openapi
from fluxprint_common.database import Reading, Session
from fluxprint_common.problems import NotFound
from fluxprint_common.ratelimit import limit_by_address

router = APIRouter(prefix="/auth", tags=["auth"])


@router.post(
    "/register",
    response_model=Registered,
    status_code=201,
    summary="Register",
    responses={202: {"model": MailAccepted}, **openapi.problems(403, 409)},
    openapi_extra={"security": []},
    dependencies=[limit_by_address("register", "limit_register")],
)
async def register(
    body: Registration,
    session: Session,
    passwords: PasswordHashing,
    sessions: LoginSessions,
    settings: CurrentSettings,
    mailer: CurrentMailer,
    limiter: Limiter,
    client: CurrentClient,
    transport: CurrentTransport,
) -> Registered | Response:
    """Make an account with an organisation of its own, and sign in.

    Where addresses have to be verified, the answer is 202 for every address, and the account is there once the link in
    the mail was opened; an address that has an account gets a mail that says so.
    """
    if not settings.registration_enabled:
        raise RegistrationDisabled
    password = body.password.get_secret_value()
    owner = Owner(email=body.email, name=body.name, organisation=body.organisation_name)
    await passwords.refuse_guessable(password, owner)
    account = registration.NewAccount(
        email=body.email,
        name=body.name,
        password_hash=await passwords.hash(password),
        organisation_name=body.organisation_name,
    )
    lifetime = timedelta(seconds=settings.email_link_s)
    if settings.requires_verified_email:
        await limiter.hit(settings.limit_mail_account, "mail_account", account_key(body.email))
        await verification.begin_registration(session, mailer, account, lifetime=lifetime)
        accepted = MailAccepted(detail="A mail to this address is on its way; open the link in it.")
        return JSONResponse(accepted.model_dump(), 202)
    user, organisation, _membership = await registration.register(session, account, client=client)
    await verification.ask(session, mailer, user, lifetime=lifetime)
    pair = await sign_in.complete(session, user, sessions=sessions, client=client)
    return Registered(
        user=User.model_validate(user),
        organisation=Organisation.model_validate(organisation),
        tokens=transport.hand_over(pair, body.carry),
    )


@router.get("/me", summary="Get who I am", responses=openapi.problems(401, 403))
async def get_me(principal: Person, session: Reading) -> Me:
    """The person, the organisation and the role that the access token speaks for."""
    user = await repository.get(session, principal.subject)
    if user is None:
        raise NotFound
    organisation = await organisations.get(session, principal.organisation_id)
    return Me(
        user=User.model_validate(user),
        organisation=Organisation.model_validate(organisation),
        role=MemberRole(principal.role),
    )


@router.patch("/me", summary="Change my name", responses=openapi.problems(401, 403, 404))
async def update_me(body: MeUpdate, principal: Oneself, session: Session) -> User:
    """Be called otherwise from now on."""
    user = await repository.set_name(session, principal.subject, body.name)
    if user is None:
        raise NotFound
    return User.model_validate(user)
