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


class NoOrganisation(Forbidden):
    """You are not a member of any organisation; ask to be added to one"""

    code = "no_organisation"
