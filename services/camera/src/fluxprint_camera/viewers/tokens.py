"""View tokens: browsers cannot put a header on `<img>`, so for minutes an address may carry what opens one camera.

They are signed with a secret of this service alone and are good for nothing else.
"""

import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from fluxprint_camera.ids import CameraId
from fluxprint_common.ids import OrganisationId, SessionId, UserId, show
from fluxprint_common.principal import Principal
from fluxprint_common.tokens import SharedSecret, TokenError, TokenVerifier

AUDIENCE = "fluxprint-camera-view"
_KID = "view-1"

_CAMERA: TypeAdapter[UUID] = TypeAdapter(CameraId)
_ORGANISATION: TypeAdapter[UUID] = TypeAdapter(OrganisationId)
_SESSION: TypeAdapter[UUID] = TypeAdapter(SessionId)
_USER: TypeAdapter[UUID] = TypeAdapter(UserId)


@dataclass(frozen=True, slots=True)
class Watcher:
    """Who watches, and until when.

    Attributes:
        person_id: whom the token was given to.
        session_id: what it ends with.
        issued_at: when the access token was made that it stands on.
        camera_id: the one camera that may be seen; None where it is any of the organisation's.
        printers: the only printers whose cameras may be seen; None where it is any.
    """

    organisation_id: UUID
    person_id: UUID
    session_id: UUID
    issued_at: datetime
    expires_at: datetime
    camera_id: UUID | None = None
    printers: frozenset[UUID] | None = None

    def may_see(self, camera_id: UUID) -> bool:
        """Whether a camera of the organisation is within what this watcher may see."""
        return self.camera_id is None or self.camera_id == camera_id

    @property
    def expires_in_s(self) -> float:
        return (self.expires_at - datetime.now(UTC)).total_seconds()


class ViewTokens:
    """Issues and reads view tokens.

    Args:
        lifetime_s: how long a token is good for.
    """

    def __init__(self, secret: str, *, issuer: str, lifetime_s: int) -> None:
        self._secret = SharedSecret(secret, kid=_KID)
        self._issuer = issuer
        self._lifetime_s = lifetime_s
        self._verifier = TokenVerifier(
            self._secret,
            issuer=issuer,
            audience=AUDIENCE,
            required=("sid", "org", "camera"),
            max_lifetime_s=lifetime_s,
        )

    def issue(self, principal: Principal, camera_id: UUID) -> tuple[str, datetime]:
        """A token for one camera, bound to the principal's session, and when it ends."""
        now = int(time.time())
        expires = now + self._lifetime_s
        token = self._secret.sign(
            {
                "iss": self._issuer,
                "aud": AUDIENCE,
                "sub": show("user", principal.subject),
                "iat": now,
                "exp": expires,
                "jti": secrets.token_hex(16),
                "token_iat": int(principal.issued_at.timestamp()),
                "sid": show("session", principal.session_id),
                "org": show("org", principal.organisation_id),
                "camera": show("camera", camera_id),
            }
        )
        return token, datetime.fromtimestamp(expires, UTC)

    async def read(self, token: str) -> Watcher:
        """The watcher that a token makes.

        Raises:
            TokenError: it is not genuine, not a view token, or has ended.
        """
        claims = await self._verifier.verify(token)
        try:
            return Watcher(
                organisation_id=_ORGANISATION.validate_python(claims["org"]),
                person_id=_USER.validate_python(claims["sub"]),
                session_id=_SESSION.validate_python(claims["sid"]),
                camera_id=_CAMERA.validate_python(claims["camera"]),
                issued_at=datetime.fromtimestamp(int(str(claims.get("token_iat", claims["iat"]))), UTC),
                expires_at=datetime.fromtimestamp(int(str(claims["exp"])), UTC),
            )
        except (ValidationError, ValueError) as error:
            raise TokenError("claims of another shape") from error
