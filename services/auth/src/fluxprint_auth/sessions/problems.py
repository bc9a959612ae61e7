"""What can be wrong with a session."""

from fluxprint_common.problems import Forbidden, Unauthenticated


class RefreshTokenInvalid(Unauthenticated):
    """The refresh token is not valid or has expired; sign in again"""

    code = "refresh_token_invalid"


class RefreshTokenReused(Unauthenticated):
    """The refresh token was used before, so its session was ended; sign in again"""

    code = "refresh_token_reused"
    keeps_writes = True


class MembershipEnded(Unauthenticated):
    """You are no longer a member of this organisation; sign in again"""

    code = "membership_ended"
    keeps_writes = True


class FingerprintChanged(Unauthenticated):
    """The session was begun by another kind of client, so it was ended; sign in again"""

    code = "fingerprint_changed"
    keeps_writes = True


class CsrfInvalid(Forbidden):
    """The session is in a cookie: send the X-CSRF-Token that came with it, from a page of this installation"""

    code = "csrf_invalid_token"
    keeps_writes = True  # the attempt is recorded


class ReauthenticationRequired(Unauthenticated):
    """This needs that you proved who you are a short while ago; do it again at /auth/reauthenticate"""

    code = "reauthentication_required"

    def __init__(self, *, within_s: int) -> None:
        super().__init__(f"Send your password or a code to /auth/reauthenticate first; it holds for {within_s} s.")
        self.headers["WWW-Authenticate"] = (
            f'Bearer realm="fluxprint", error="insufficient_user_authentication", max_age="{within_s}"'
        )


class NoOrganisation(Forbidden):
    """You are not a member of any organisation; ask to be added to one"""

    code = "no_organisation"
