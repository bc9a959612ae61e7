"""What every provider is to the rest of the service."""

import json
from dataclasses import asdict, dataclass, field
from typing import Protocol, Self

from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge


@dataclass(frozen=True)
class Trip:
    """What belongs to one way to a provider and back. All three are secrets of 256 bits.

    Attributes:
        state: shows that the answer belongs to this browser (RFC 6749, 10.12).
        verifier: shows the provider that who redeems the code is who asked for it (RFC 7636).
        nonce: shows that the ID token was made for this sign-in (OpenID Connect Core, 3.1.2.1).
    """

    state: str = field(repr=False)
    verifier: str = field(repr=False)
    nonce: str = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What the provider sent the browser back with.

    Attributes:
        issuer: who says that it answers (RFC 9207), where it says so.
        user: what Apple tells about a person, at their first sign-in only.
    """

    code: str = field(repr=False)
    issuer: str | None = None
    user: str | None = None


@dataclass(frozen=True, kw_only=True)
class Profile:
    """Who somebody is, as a provider says.

    Attributes:
        subject: never given to another person by this provider.
        email_verified: whether the provider knows that the address is theirs.
        tokens: the provider's own, for its API.
    """

    provider: str
    subject: str
    email: str | None
    email_verified: bool
    name: str | None
    tokens: dict[str, str] = field(repr=False)

    def to_json(self) -> bytes:
        """For `from_json`."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        """What `to_json` wrote."""
        return cls(**json.loads(text))


class Provider(Protocol):
    """Somebody else who may say who somebody is.

    Attributes:
        name: in addresses and in the table of identities.
        title: for people.
        posts_back: whether the answer comes as a form from the provider's page, and not as an address.
    """

    name: str
    title: str
    posts_back: bool

    async def address(self, trip: Trip, *, redirect_uri: str) -> str:
        """Where the browser goes to sign in.

        Raises:
            ProviderFailed
        """
        ...

    async def profile(self, answer: Answer, trip: Trip, *, redirect_uri: str) -> Profile:
        """Who signed in there.

        Raises:
            ProviderFailed: it does not answer, or its answer is not to be believed.
        """
        ...


def authorisation_address(
    endpoint: str, *, client_id: str, redirect_uri: str, scope: str, trip: Trip, **more: str
) -> str:
    """An authorisation request for a code, with PKCE (RFC 6749, 4.1.1; RFC 7636, 4.3)."""
    return str(
        prepare_grant_uri(
            endpoint,
            client_id=client_id,
            response_type="code",
            redirect_uri=redirect_uri,
            scope=scope,
            state=trip.state,
            code_challenge=create_s256_code_challenge(trip.verifier),
            code_challenge_method="S256",
            **more,
        )
    )


def token_request(answer: Answer, trip: Trip, *, redirect_uri: str) -> str:
    """The body of the request that redeems a code (RFC 6749, 4.1.3; RFC 7636, 4.5)."""
    return str(
        prepare_token_request(
            "authorization_code", code=answer.code, redirect_uri=redirect_uri, code_verifier=trip.verifier
        )
    )


def kept_tokens(answer: dict[str, object]) -> dict[str, str]:
    """What is kept of the answer to that request; the ID token has served."""
    kept = {name: answer.get(name) for name in ("access_token", "refresh_token")}
    return {name: value for name, value in kept.items() if isinstance(value, str)}
