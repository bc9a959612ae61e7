"""What can be wrong with an account."""

from fluxprint_common.problems import Conflict, Forbidden, RateLimited, Unauthenticated


class EmailTaken(Conflict):
    """There is an account with this e-mail address; sign in with it"""

    code = "email_taken"


class RegistrationDisabled(Forbidden):
    """Registration is switched off here; ask an owner or manager to add you"""

    code = "registration_disabled"


class InvalidCredentials(Unauthenticated):
    """The e-mail address or the password is wrong"""

    code = "invalid_credentials"
    keeps_writes = True  # the failure is counted


class AccountDisabled(Forbidden):
    """This account is disabled; ask whoever looks after the installation"""

    code = "account_disabled"
    keeps_writes = True


class EmailNotVerified(Forbidden):
    """Open the link in the mail that was sent to this address first; a new one comes from /auth/verify-email/resend"""

    code = "email_not_verified"
    keeps_writes = True


class WrongPassword(Forbidden):
    """The current password is wrong"""

    code = "wrong_password"
    keeps_writes = True  # the failure is counted


class AccountLocked(RateLimited):
    """Too many failed logins with this e-mail address, or from this network"""

    code = "account_locked"

    def __init__(self, *, retry_after_s: int) -> None:
        super().__init__(
            f"Too many failed logins; try again in {retry_after_s} s.", headers={"Retry-After": str(retry_after_s)}
        )
