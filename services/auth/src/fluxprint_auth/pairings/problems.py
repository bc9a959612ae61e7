"""What a bridge that waits for its token is told, and what a person who confirms one may meet (RFC 8628, 3.5)."""

from fluxprint_common.problems import BadRequest, Conflict, Unavailable


class AuthorizationPending(BadRequest):
    """Nobody has confirmed the code yet; ask again after the interval"""

    code = "authorization_pending"
    keeps_writes = True


class SlowDown(BadRequest):
    """You ask too often"""

    code = "slow_down"
    keeps_writes = True

    def __init__(self, *, interval_s: int) -> None:
        super().__init__(
            f"From now on ask every {interval_s} s at most.",
            headers={"Retry-After": str(interval_s)},
        )


class AccessDenied(BadRequest):
    """A person refused this bridge; begin again only if it was a mistake"""

    code = "access_denied"


class PairingExpired(BadRequest):
    """The device code is not valid, has expired, or was used; begin again"""

    code = "expired_token"


class PairingDecided(Conflict):
    """Somebody of your organisation decided about this code already"""

    code = "pairing_decided"


class TooManyPairings(Unavailable):
    """Too many bridges wait to be confirmed; try again in some minutes"""

    code = "too_many_pairings"
