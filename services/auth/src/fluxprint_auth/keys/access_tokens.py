"""Access tokens as every service expects them; `fluxprint_common.principal` reads them.

Source: RFC 9068 (profile for access tokens), RFC 7519.
"""

import secrets
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from fluxprint_common.ids import show
from fluxprint_common.permissions import Permission, Role, Via
from fluxprint_common.tokens import SigningKey


@dataclass(frozen=True)
class AccessToken:
    """A signed token and the seconds that it lives."""

    token: str
    expires_in_s: int


class Signer(Protocol):
    """Where the key that signs comes from; a rotation gives another one."""

    def current(self) -> SigningKey:
        """The key that signs now."""
        ...


class AccessTokens:
    """Issues access tokens with the key that signs now."""

    def __init__(self, keys: Signer, *, issuer: str, audience: str, lifetime_s: int) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience
        self._lifetime_s = lifetime_s

    def for_session(
        self,
        user_id: UUID,
        *,
        session_id: UUID,
        organisation_id: UUID,
        role: Role,
        authenticated_at: datetime,
        is_administrator: bool,
        after: datetime | None = None,
    ) -> AccessToken:
        """A person's token, in one of their organisations.

        Args:
            authenticated_at: when they last proved who they are, for what asks for a fresh proof.
            after: of `revocations.service.not_made_before`: the token is younger, so that it is not refused with those.
        """
        own: dict[str, object] = {"auth_time": int(authenticated_at.timestamp())}
        if is_administrator:
            own["administrator"] = True
        return self._issue(
            show("user", user_id), session_id, organisation_id, role, via=Via.SESSION, own=own, after=after
        )

    def for_api_key(
        self,
        user_id: UUID,
        *,
        key_id: UUID,
        organisation_id: UUID,
        role: Role,
        scopes: Collection[Permission],
        printers: Collection[UUID] | None,
        at_most_s: int | None = None,
        after: datetime | None = None,
    ) -> AccessToken:
        """What an API key is exchanged for: a token that ends with the key, for its maker, in the key's bounds.

        Args:
            printers: the only ones that it is good for; None: all that the role may see.
            after: as `for_session` takes it.
        """
        own: dict[str, object] = {"scope": " ".join(sorted(scopes))}
        if printers is not None:
            own["printers"] = [show("printer", printer) for printer in printers]
        subject = show("user", user_id)
        return self._issue(
            subject, key_id, organisation_id, role, via=Via.API_KEY, own=own, at_most_s=at_most_s, after=after
        )

    def for_outside(
        self,
        user_id: UUID,
        *,
        session_id: UUID,
        organisation_id: UUID,
        role: Role,
        at_most_s: int,
        after: datetime | None = None,
    ) -> AccessToken:
        """What a trusted outside issuer's token is exchanged for. It lives no longer than that one."""
        subject = show("user", user_id)
        return self._issue(
            subject, session_id, organisation_id, role, via=Via.OUTSIDE, at_most_s=at_most_s, after=after
        )

    def for_bridge(self, bridge_id: UUID, *, organisation_id: UUID) -> AccessToken:
        """A bridge's token. A bridge has one session for life, which bears its id: revoking one ends the other."""
        return self._issue(show("bridge", bridge_id), bridge_id, organisation_id, Role.BRIDGE, via=Via.BRIDGE)

    def _issue(
        self,
        subject: str,
        session_id: UUID,
        organisation_id: UUID,
        role: Role,
        *,
        via: Via,
        own: Mapping[str, object] | None = None,
        at_most_s: int | None = None,
        after: datetime | None = None,
    ) -> AccessToken:
        now = int(time.time())
        if after is not None:  # whole seconds: the second of a revocation is the refused ones'
            now = max(now, int(after.timestamp()) + 1)
        lifetime_s = self._lifetime_s if at_most_s is None else min(self._lifetime_s, at_most_s)
        claims = {
            "iss": self._issuer,
            "aud": self._audience,
            "sub": subject,
            "iat": now,
            "exp": now + lifetime_s,
            "jti": secrets.token_hex(16),
            "sid": show("session", session_id),
            "org": show("org", organisation_id),
            "role": role.value,
            "scope": "",
            "via": via.value,
            **(own or {}),
        }
        return AccessToken(self._keys.current().sign(claims), lifetime_s)
