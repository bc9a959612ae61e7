"""Changes of passwords as clients see them."""

from fluxprint_auth.accounts.credentials import GivenPassword, NewPassword
from fluxprint_auth.verification.schemas import LinkToken
from fluxprint_common.schemas import Input


class PasswordReset(Input):
    """A new password, and the proof that one reads the mail of the account."""

    token: LinkToken
    password: NewPassword


class PasswordChange(Input):
    """A new password, and the one that it replaces."""

    current_password: GivenPassword
    new_password: NewPassword
