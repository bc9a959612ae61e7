"""HTTP of accounts."""

from fastapi import APIRouter

from fluxprint_auth.accounts import registration, repository
from fluxprint_auth.accounts.credentials import check_choice
from fluxprint_auth.accounts.problems import RegistrationDisabled
from fluxprint_auth.accounts.schemas import Me, Registered, Registration, User
from fluxprint_auth.dependencies import CurrentClient, CurrentSettings, LoginSessions, PasswordHashing, Person
from fluxprint_auth.organisations import service as organisations
from fluxprint_auth.organisations.roles import MemberRole
from fluxprint_auth.organisations.schemas import Organisation
from fluxprint_auth.sessions.transport import CurrentTransport
from fluxprint_common import openapi
from fluxprint_common.database import Reading, Session
from fluxprint_common.problems import NotFound
from fluxprint_common.ratelimit import limit_by_address

router = APIRouter(prefix="/auth", tags=["auth"])


@router.post(
    "/register",
    status_code=201,
    summary="Register",
    responses=openapi.problems(403, 409),
    openapi_extra={"security": []},
    dependencies=[limit_by_address("register", "limit_register")],
)
async def register(
    body: Registration,
    session: Session,
    passwords: PasswordHashing,
    sessions: LoginSessions,
    settings: CurrentSettings,
    client: CurrentClient,
    transport: CurrentTransport,
) -> Registered:
    """Make an account with an organisation of its own, and sign in."""
    if not settings.registration_enabled:
        raise RegistrationDisabled
    password = body.password.get_secret_value()
    check_choice(password, email=body.email, name=body.name)
    account = registration.NewAccount(
        email=body.email,
        name=body.name,
        password_hash=await passwords.hash(password),
        organisation_name=body.organisation_name,
    )
    user, organisation, membership = await registration.register(session, account, client=client)
    pair = await sessions.open(session, membership, client=client)
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
