"""View tokens: browsers cannot put a header on `<img>`, so for minutes an address may carry what opens some cameras.

They are signed with a secret of this service alone and are good for nothing else.
"""

import secrets
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from fluxprint_camera.ids import CameraId
from fluxprint_camera.viewers.watcher import Watcher
from fluxprint_common.ids import OrganisationId, SessionId, UserId, show
from fluxprint_common.permissions import Via
from fluxprint_common.principal import Principal
from fluxprint_common.standing import Ground
from fluxprint_common.tokens import SharedSecret, TokenError, TokenVerifier

AUDIENCE = "fluxprint-camera-view"
MAX_CAMERAS = 50
#: More than a token for so many has.
MAX_CHARS = 6000
_KID = "view-1"

_CAMERAS: TypeAdapter[frozenset[UUID]] = TypeAdapter(frozenset[CameraId])
_ORGANISATION: TypeAdapter[UUID] = TypeAdapter(OrganisationId)
_SESSION: TypeAdapter[UUID] = TypeAdapter(SessionId)
_USER: TypeAdapter[UUID] = TypeAdapter(UserId)


@dataclass(frozen=True, slots=True)
class Issued:
    """A token, when it ends, and when the last one of its line does."""

    token: str
    expires_at: datetime
    renewable_until: datetime


class ViewTokens:
    """Issues, reads and renews view tokens.

    Args:
        lifetime_s: how long a token opens something.
        renewable_s: how long after the first one a token is renewed, and what was opened may go on.
    """

    def __init__(self, secret: str, *, issuer: str, lifetime_s: int, renewable_s: int) -> None:
        self._secret = SharedSecret(secret, kid=_KID)
        self._issuer = issuer
        self._lifetime_s = lifetime_s
        self._renewable_s = renewable_s
        self._verifier = TokenVerifier(
            self._secret,
            issuer=issuer,
            audience=AUDIENCE,
            required=("sid", "org", "via"),
            max_lifetime_s=lifetime_s,
        )

    def issue(self, principal: Principal, cameras: Collection[UUID]) -> Issued:
        """A token for some cameras, bound to the principal's session or API key."""
        now = int(time.time())
        # Whether an outside person is still signed in where they come from, nobody here knows.
        lasts_s = self._lifetime_s if principal.via is Via.OUTSIDE else self._renewable_s
        return self._sign(
            {
                "sub": show("user", principal.subject),
                "token_iat": int(principal.issued_at.timestamp()),
                "sid": show("session", principal.session_id),
                "via": principal.via.value,
                "org": show("org", principal.organisation_id),
                "cameras": sorted(show("camera", camera) for camera in cameras),
                "until": now + lasts_s,
            },
            now=now,
        )

    async def renew(self, token: str) -> tuple[Watcher, Issued]:
        """Whom a token was given to, and the one that follows it, for the same cameras and from the same session.

        Whether the session still lives is for the caller to find out.

        Raises:
            TokenError: it is not genuine or has ended, or the first of its line is too long ago.
        """
        claims = await self._verifier.verify(token)
        watcher, now = _watcher(claims), int(time.time())
        if now >= watcher.expires_at.timestamp():
            raise TokenError("renewed for long enough")
        kept = ("sub", "token_iat", "sid", "via", "org", "cameras", "until")
        return watcher, self._sign({name: claims[name] for name in kept}, now=now)

    async def read(self, token: str) -> Watcher:
        """The watcher that a token makes.

        Raises:
            TokenError: it is not genuine, not a view token, or has ended.
        """
        return _watcher(await self._verifier.verify(token))

    def _sign(self, claims: Mapping[str, object], *, now: int) -> Issued:
        until = int(str(claims["until"]))
        expires = min(now + self._lifetime_s, until)
        token = self._secret.sign(
            {
                **claims,
                "iss": self._issuer,
                "aud": AUDIENCE,
                "iat": now,
                "exp": expires,
                "jti": secrets.token_hex(16),
            }
        )
        return Issued(token, datetime.fromtimestamp(expires, UTC), datetime.fromtimestamp(until, UTC))


def _watcher(claims: Mapping[str, object]) -> Watcher:
    try:
        via = Via(str(claims["via"]))
        user_id = _USER.validate_python(claims["sub"])
        session_id = _SESSION.validate_python(claims["sid"])
        organisation_id = _ORGANISATION.validate_python(claims["org"])
        by_key = via is Via.API_KEY
        return Watcher(
            organisation_id=organisation_id,
            person_id=session_id if by_key else user_id,
            session_id=session_id,
            cameras=_CAMERAS.validate_python(claims["cameras"]),
            issued_at=datetime.fromtimestamp(int(str(claims["token_iat"])), UTC),
            expires_at=datetime.fromtimestamp(int(str(claims["until"])), UTC),
            ground=Ground(
                user_id,
                organisation_id,
                session_id=None if by_key else session_id,
                api_key_id=session_id if by_key else None,
            ),
        )
    except (ValidationError, ValueError, KeyError) as error:
        raise TokenError("claims of another shape") from error
