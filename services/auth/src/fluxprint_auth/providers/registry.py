"""Which providers this installation knows, from its settings."""

from collections.abc import Mapping

import httpx

from fluxprint_auth.keys.files import KeyFileError, read_key_file
from fluxprint_auth.providers.base import Provider
from fluxprint_auth.providers.github import GithubApp, GithubProvider
from fluxprint_auth.providers.oidc import APPLE_ISSUER, OidcProvider, Registration, apple_secret
from fluxprint_auth.settings import AuthSettings
from fluxprint_common.settings import Environment

GOOGLE_ISSUER = "https://accounts.google.com"

Providers = Mapping[str, Provider]


def providers_of(settings: AuthSettings, http: httpx.AsyncClient) -> Providers:
    """The providers that are configured, by name, in the order in which they are shown.

    Raises:
        ValueError: naming the variable that is unfit.
    """
    found: list[Provider] = []
    for registration in (_google(settings), _apple(settings), _other(settings)):
        if registration is not None:
            found.append(OidcProvider(registration, http))
    if settings.provider_github_client_id and settings.provider_github_client_secret:
        app = GithubApp(
            client_id=settings.provider_github_client_id,
            client_secret=settings.provider_github_client_secret.get_secret_value(),
            url=settings.provider_github_url,
            api_url=settings.provider_github_api_url,
        )
        found.append(GithubProvider(app, http))
    return {provider.name: provider for provider in found}


def _google(settings: AuthSettings) -> Registration | None:
    secret = settings.provider_google_client_secret
    if settings.provider_google_client_id is None or secret is None:
        return None
    return Registration(
        name="google",
        title="Google",
        issuer=GOOGLE_ISSUER,
        client_id=settings.provider_google_client_id,
        secret=secret.get_secret_value,
    )


def _apple(settings: AuthSettings) -> Registration | None:
    client_id, team_id, key_id = (
        settings.provider_apple_client_id,
        settings.provider_apple_team_id,
        settings.provider_apple_key_id,
    )
    if client_id is None or team_id is None or key_id is None:
        return None
    try:
        secret = apple_secret(client_id=client_id, team_id=team_id, key_id=key_id, key=_apple_key(settings))
    except (ValueError, KeyFileError) as error:
        raise ValueError(f"AUTH_PROVIDER_APPLE_KEY_FILE: {error}") from None
    return Registration(
        name="apple",
        title="Apple",
        issuer=APPLE_ISSUER,
        client_id=client_id,
        secret=secret,
        scope="openid email name",
        posts_back=True,  # Apple's condition for telling name and address
    )


def _apple_key(settings: AuthSettings) -> str:
    if settings.provider_apple_key_file is not None:
        return read_key_file(settings.provider_apple_key_file, strict=settings.environment is Environment.PRODUCTION)
    return settings.provider_apple_key.get_secret_value() if settings.provider_apple_key else ""


def _other(settings: AuthSettings) -> Registration | None:
    secret = settings.provider_oidc_client_secret
    if settings.provider_oidc_client_id is None or settings.provider_oidc_issuer is None or secret is None:
        return None
    return Registration(
        name="oidc",
        title=settings.provider_oidc_title,
        issuer=settings.provider_oidc_issuer,
        client_id=settings.provider_oidc_client_id,
        secret=secret.get_secret_value,
    )
