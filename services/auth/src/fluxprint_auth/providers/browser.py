"""The browser that goes to a provider: known again by a cookie, so that nobody else's answer is taken for its own."""

import re
from dataclasses import dataclass, field
from typing import Annotated, Literal

from fastapi import Depends, Path, Request, Response

from fluxprint_auth.dependencies import CurrentSettings
from fluxprint_auth.providers import flows
from fluxprint_auth.providers.base import Provider
from fluxprint_auth.providers.registry import Providers
from fluxprint_common.problems import NotFound

_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class Browser:
    """One browser.

    Attributes:
        secret: what its cookie holds, or will hold. It is the same for all tabs, which may sign in at the same time.
    """

    secret: str = field(repr=False)
    cookie: str
    secure: bool
    same_site: Literal["lax", "none"]

    def remember(self, answer: Response) -> None:
        """Give it the cookie, for as long as one may be away."""
        answer.set_cookie(
            self.cookie,
            self.secret,
            max_age=int(flows.AWAY_AT_MOST.total_seconds()),
            path="/",
            secure=self.secure,
            httponly=True,
            samesite=self.same_site,
        )


async def _providers(request: Request) -> Providers:
    providers: Providers = request.app.state.providers
    return providers


async def _provider(
    name: Annotated[str, Path(max_length=20, examples=["google"])],
    providers: Annotated[Providers, Depends(_providers)],
) -> Provider:
    if name not in providers:
        raise NotFound
    return providers[name]


async def _browser(
    request: Request, provider: Annotated[Provider, Depends(_provider)], settings: CurrentSettings
) -> Browser:
    secure = settings.public_url.startswith("https:")
    # A form that the provider's page posts brings only cookies that are sent across sites: one of its own, therefore.
    name = "fluxprint_away_posted" if provider.posts_back else "fluxprint_away"
    cookie = f"__Host-{name}" if secure else name  # no subdomain can set that one
    given = request.cookies.get(cookie, "")
    secret = given if _SECRET.fullmatch(given) else flows.new_secret()
    return Browser(secret, cookie, secure, "none" if provider.posts_back else "lax")


Known = Annotated[Providers, Depends(_providers)]
Chosen = Annotated[Provider, Depends(_provider)]
CurrentBrowser = Annotated[Browser, Depends(_browser)]
