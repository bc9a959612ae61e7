"""GitHub: OAuth 2, without ID tokens; who somebody is, its API says.

Source: GitHub's documentation of OAuth apps, and of `/user` and `/user/emails`.
"""

from dataclasses import dataclass, field

import httpx
from authlib.oauth2.auth import ClientAuth

from fluxprint_auth.providers.base import Answer, Profile, Trip, authorisation_address, kept_tokens, token_request
from fluxprint_auth.providers.http import ProviderFailed, ask, ask_for_object


@dataclass(frozen=True, kw_only=True)
class GithubApp:
    """What we are to GitHub, and where it is."""

    client_id: str
    client_secret: str = field(repr=False)
    url: str
    api_url: str


class GithubProvider:
    """GitHub, or a GitHub Enterprise Server."""

    name = "github"
    title = "GitHub"
    posts_back = False

    def __init__(self, app: GithubApp, http: httpx.AsyncClient) -> None:
        self._app = app
        self._http = http

    async def address(self, trip: Trip, *, redirect_uri: str) -> str:
        return authorisation_address(
            f"{self._app.url}/login/oauth/authorize",
            client_id=self._app.client_id,
            redirect_uri=redirect_uri,
            scope="read:user user:email",
            trip=trip,
        )

    async def profile(self, answer: Answer, trip: Trip, *, redirect_uri: str) -> Profile:
        app = self._app
        client = ClientAuth(app.client_id, app.client_secret, "client_secret_post")
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        url, headers, body = client.prepare(
            "POST",
            f"{app.url}/login/oauth/access_token",
            form,
            token_request(answer, trip, redirect_uri=redirect_uri),
        )
        tokens = await ask_for_object(self._http, "POST", url, headers=headers, body=body)
        access_token = tokens.get("access_token")
        if not isinstance(access_token, str) or not access_token:
            raise ProviderFailed("no_access_token")  # its errors come with 200 as well
        bearer = {"Authorization": f"Bearer {access_token}", "X-GitHub-Api-Version": "2022-11-28"}
        user = await ask_for_object(self._http, "GET", f"{app.api_url}/user", headers=bearer)
        subject, name = user.get("id"), user.get("name") or user.get("login")
        if type(subject) is not int:  # the login can be given to another, the number can't
            raise ProviderFailed("no_subject")
        email = _verified_primary(await ask(self._http, "GET", f"{app.api_url}/user/emails", headers=bearer))
        return Profile(
            provider=self.name,
            subject=str(subject),
            email=email,
            email_verified=email is not None,
            name=name if isinstance(name, str) else None,
            tokens=kept_tokens(tokens),
        )


def _verified_primary(emails: object) -> str | None:
    for entry in emails if isinstance(emails, list) else []:
        if isinstance(entry, dict) and entry.get("primary") is True and entry.get("verified") is True:
            email = entry.get("email")
            return email if isinstance(email, str) else None
    return None
