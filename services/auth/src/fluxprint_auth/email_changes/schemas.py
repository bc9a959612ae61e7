"""Changes of e-mail addresses as clients see them."""

from pydantic import Field

from fluxprint_auth.accounts.credentials import Email
from fluxprint_auth.verification.schemas import LinkToken
from fluxprint_common.schemas import Input, Output


class EmailChange(Input):
    """The address that an account is to have."""

    new_email: Email


class EmailConfirmation(Input):
    """The proof that somebody reads the mail of one of both addresses."""

    token: LinkToken


class EmailConfirmed(Output):
    """What the confirmation brought about."""

    changed: bool = Field(description="False: the other address has yet to be confirmed.")
