"""What can be wrong with signing in at a provider."""

from fluxprint_common.problems import Conflict, Forbidden, Invalid, Unauthenticated


class StateInvalid(Unauthenticated):
    """This sign-in was not begun in this browser, has expired or was finished before; begin it again"""

    code = "sign_in_state_invalid"
    keeps_writes = True  # it is audited


class SignInCodeInvalid(Unauthenticated):
    """This code of a sign-in is not valid, has expired or was used before; begin the sign-in again"""

    code = "sign_in_code_invalid"
    keeps_writes = True  # whoever had the code without its verifier has used it up


class ReturnAddressRefused(Invalid):
    """return_to must be on the public address of this server, or on an origin of FLUXPRINT_CORS_ORIGINS"""

    code = "return_address_refused"


class SignInAndLink(Conflict):
    """There is an account with this e-mail address; sign in to it, then link this provider to it"""

    code = "sign_in_and_link"


class EmailUnverifiedThere(Forbidden):
    """The provider does not vouch for an e-mail address of yours; verify one there first"""

    code = "provider_email_unverified"


class IdentityTaken(Conflict):
    """This identity is linked to an account already"""

    code = "identity_taken"


class LastWayIn(Conflict):
    """This is the only way to sign in to your account; set a password or link another provider first"""

    code = "last_way_in"
