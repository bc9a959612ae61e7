"""Access tokens as every service expects them; `fluxprint_common.principal` reads them.

Source: RFC 9068 (profile for access tokens), RFC 7519.
"""

import secrets
import time
from dataclasses import dataclass
from uuid import UUID

from fluxprint_common.ids import show
from fluxprint_common.permissions import Role
from fluxprint_common.tokens import SigningKey


@dataclass(frozen=True)
class AccessToken:
    """A signed token and the seconds that it lives."""

    token: str
    expires_in_s: int


class AccessTokens:
    """Issues access tokens with one key."""

    def __init__(self, key: SigningKey, *, issuer: str, audience: str, lifetime_s: int) -> None:
        self._key = key
        self._issuer = issuer
        self._audience = audience
        self._lifetime_s = lifetime_s

    def for_user(self, user_id: UUID, *, session_id: UUID, organisation_id: UUID, role: Role) -> AccessToken:
        """A person's token, in one of their organisations."""
        return self._issue(show("user", user_id), session_id, organisation_id, role)

    def for_bridge(self, bridge_id: UUID, *, organisation_id: UUID) -> AccessToken:
        """A bridge's token. A bridge has one session for life, which bears its id: revoking one ends the other."""
        return self._issue(show("bridge", bridge_id), bridge_id, organisation_id, Role.BRIDGE)

    def _issue(self, subject: str, session_id: UUID, organisation_id: UUID, role: Role) -> AccessToken:
        now = int(time.time())
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": subject,
            "iat": now,
            "exp": now + self._lifetime_s,
            "jti": secrets.token_hex(16),
            "sid": show("session", session_id),
            "org": show("org", organisation_id),
            "role": role.value,
            "scope": "",  # narrows the role's permissions; API keys will use it
        }
        return AccessToken(self._key.sign(claims), self._lifetime_s)
