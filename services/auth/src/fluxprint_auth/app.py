"""The auth service, put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from fastapi import FastAPI

from fluxprint_auth.accounts.passwords import Passwords
from fluxprint_auth.accounts.problems import EmailTaken
from fluxprint_auth.accounts.routes import router as accounts
from fluxprint_auth.administration.routes import router as administration
from fluxprint_auth.api_keys.routes import router as api_keys
from fluxprint_auth.bridges.problems import BridgeNameTaken
from fluxprint_auth.bridges.routes import router as bridges
from fluxprint_auth.email_changes.routes import router as email_changes
from fluxprint_auth.exchange.routes import router as exchange
from fluxprint_auth.exchange.service import Exchanger
from fluxprint_auth.factors.routes import router as factors
from fluxprint_auth.housekeeping import keep_house
from fluxprint_auth.invitations.routes import router as invitations
from fluxprint_auth.keys.access_tokens import AccessTokens
from fluxprint_auth.keys.routes import router as keys
from fluxprint_auth.keys.signing import SigningKeys
from fluxprint_auth.mail.mailer import Mailer
from fluxprint_auth.mail.outbox import MailMetrics, Outbox
from fluxprint_auth.mail.transports import make_transport
from fluxprint_auth.members.problems import AlreadyMember, LastOwner
from fluxprint_auth.members.routes import router as members
from fluxprint_auth.organisations.routes import router as organisations
from fluxprint_auth.pairings.routes import router as pairings
from fluxprint_auth.password_changes.routes import router as password_changes
from fluxprint_auth.providers.problems import IdentityTaken
from fluxprint_auth.providers.registry import providers_of
from fluxprint_auth.providers.routes import router as providers
from fluxprint_auth.revocations import service as revocations
from fluxprint_auth.revocations.routes import router as internal_revocations
from fluxprint_auth.security.refusals import Refusals
from fluxprint_auth.security.routes import router as security
from fluxprint_auth.sessions.live import LiveTokenVerifier
from fluxprint_auth.sessions.routes import router as sessions
from fluxprint_auth.sessions.service import SessionPolicy, Sessions
from fluxprint_auth.settings import AuthSettings
from fluxprint_auth.standing.routes import router as standing
from fluxprint_auth.verification.routes import router as verification
from fluxprint_common.exchange import Exchange
from fluxprint_common.service import ServiceSpec, admission, create_service


def create_app(settings: AuthSettings) -> FastAPI:
    """The ASGI application of the auth service."""
    spec = ServiceSpec(
        name="auth",
        description="Who is who: accounts, sessions, organisations and bridges.",
        tags={
            "auth": "Accounts and sessions: register, sign in, refresh, sign out.",
            "organisations": "Organisations, their members, and invitations to them.",
            "api-keys": "Keys for programs that do what their makers may do.",
            "bridges": "Identities of bridges, which connect printers to the queue.",
            "security-events": "What happened to accounts, sessions, organisations, keys and bridges.",
            "administration": "The accounts and the database of the whole installation, for administrators.",
        },
        routers=[
            accounts,
            verification,
            password_changes,
            email_changes,
            sessions,
            keys,
            organisations,
            members,
            invitations,
            api_keys,
            bridges,
            pairings,
            factors,
            security,
            administration,
            providers,
        ],
        internal_routers=[internal_revocations, exchange, standing],
        has_cookies=True,
        constraint_errors={
            "uq_user_email": EmailTaken,
            "uq_bridge_name": BridgeNameTaken,
            "uq_membership_member": AlreadyMember,
            "uq_identity_subject": IdentityTaken,
            "organisation_keeps_an_owner": LastOwner,
        },
        start=_start,
    )
    return create_service(spec, settings)


@asynccontextmanager
async def _start(app: FastAPI) -> AsyncIterator[None]:
    state = app.state
    settings: AuthSettings = state.settings
    state.keyring = settings.keyring()
    names = {"issuer": settings.token_issuer, "audience": settings.token_audience}
    state.keys = SigningKeys(
        state.database,
        state.keyring,
        supplied=settings.load_signing_key(),
        previous=settings.load_previous_signing_key(),
    )
    await state.keys.start()
    state.loops.start("signing keys", lambda: state.keys.keep_current(settings.signing_key_reload_s), critical=False)
    state.issuer = AccessTokens(state.keys, lifetime_s=settings.access_token_s, **names)
    state.access_tokens = LiveTokenVerifier(state.keys, state.database, **names)
    state.revocation_source = revocations.source(state.database)
    state.database.sessions.configure(info=revocations.ringing(state.publisher, state.revocations))
    state.exchanger = Exchanger(state.database, state.issuer, settings.make_outside_issuer(state.http))
    state.exchange = Exchange(state.exchanger, admit=admission(state.rate_limiter))
    state.sessions = Sessions(
        state.issuer,
        SessionPolicy(
            refresh_s=settings.refresh_token_s,
            max_s=settings.session_max_s,
            grace_s=settings.refresh_grace_s,
            fingerprint_change=settings.fingerprint_change,
        ),
        state.keyring,
    )
    state.passwords = make_passwords(settings)
    state.providers = providers_of(settings, state.http)
    _start_mail(app, settings)
    state.refusals = Refusals(state.database)
    state.rate_limiter.on_refusal = state.refusals.hear
    state.loops.start("refusals", state.refusals.run, critical=False)
    throttles_kept = timedelta(seconds=max(settings.lockout_reset_s, settings.lockout_s))
    events_kept = timedelta(days=settings.security_events_kept_days)
    state.loops.start(
        "housekeeping",
        lambda: keep_house(state.database, throttles_kept=throttles_kept, events_kept=events_kept),
        critical=False,
    )
    try:
        yield
    finally:
        state.passwords.close()


def _start_mail(app: FastAPI, settings: AuthSettings) -> None:
    state = app.state
    mailer = state.mailer = Mailer.of(settings, state.keyring)
    state.health_parts["mail"] = lambda: mailer.state.value
    transport = make_transport(settings)
    if transport is not None:
        outbox = Outbox(state.database, mailer, transport, MailMetrics(state.metrics.registry))
        state.loops.start("mail", outbox.run, critical=False)


def make_passwords(settings: AuthSettings) -> Passwords:
    """The hasher that the settings describe."""
    return Passwords(
        memory_kib=settings.argon2_memory_kib,
        time_cost=settings.argon2_time_cost,
        at_once=settings.password_hashes_at_once,
    )
