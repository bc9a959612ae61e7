"""The verification of addresses as clients see it."""

from typing import Annotated

from pydantic import Field

from fluxprint_auth.accounts.credentials import Email, GivenPassword
from fluxprint_auth.opaque import OpaqueToken
from fluxprint_auth.sessions.carry import Carried
from fluxprint_common.schemas import Input, Output

LINK_TOKEN_EXAMPLE = "fxl_5Wd0Hq8Zr3Tn6Yk1Ub4Xe7Rm2Pa9Sc0Vg3Jf6Li8Oh1Dt5Nw7KB2D"  # noqa: S105

LinkToken = Annotated[
    OpaqueToken, Field(description="What follows `#token=` in the link of the mail.", examples=[LINK_TOKEN_EXAMPLE])
]


class MailRequest(Input):
    """Whom a mail is asked for."""

    email: Email


class MailAccepted(Output):
    """A mail comes, where there is reason for one; the answer is the same in any case."""

    detail: str = Field(max_length=300, examples=["Look into your mail."])


class EmailVerification(Carried):
    """The proof that somebody reads the mail of an address, and that it is they who chose the account's password."""

    token: LinkToken
    password: GivenPassword
