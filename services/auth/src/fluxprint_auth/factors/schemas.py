"""Second factors as clients see them."""

from typing import Annotated, Self

from pydantic import Field, SecretStr, model_validator

from fluxprint_auth.accounts.credentials import GivenPassword
from fluxprint_auth.opaque import OpaqueToken
from fluxprint_auth.sessions.carry import Carried
from fluxprint_common.schemas import Input, Output, Timestamp

TotpCode = Annotated[
    SecretStr,
    Field(max_length=10, description="The six digits that the authenticator app shows.", examples=["492039"]),
]
AnyCode = Annotated[
    SecretStr,
    Field(
        max_length=40,
        description="The six digits that the authenticator app shows, or a recovery code.",
        examples=["492039", "k3pv-92hd-xw7m-c5tq"],
    ),
]
RecoveryCode = Annotated[str, Field(max_length=40, examples=["k3pv-92hd-xw7m-c5tq"])]


class SecondFactor(Output):
    """Whether signing in asks for a code, and of which app."""

    active: bool
    confirmed_at: Timestamp | None = Field(description="Since when.")
    recovery_codes_left: int = Field(ge=0, le=100, json_schema_extra={"format": "int32"})


class SecondFactorSetup(Output):
    """What the authenticator app needs. It is shown only now; nothing asks for codes until one was confirmed."""

    secret: str = Field(max_length=64, description="Base32, to type in.", examples=["JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"])
    otpauth_uri: str = Field(max_length=1000, description="The same for a QR code.")


class SecondFactorConfirmation(Input):
    """A first code, which shows that the app works."""

    code: TotpCode


class RecoveryCodes(Output):
    """Codes for when the app is lost, each good once. They are shown only now."""

    recovery_codes: list[RecoveryCode] = Field(max_length=20)


class SecondFactorSignIn(Carried):
    """The second step of signing in."""

    challenge: Annotated[OpaqueToken, Field(description="From the problem `second_factor_required`.")]
    code: AnyCode


class Reauthentication(Input):
    """A new proof of who one is: a code where there is a second factor, else the password."""

    password: GivenPassword | None = None
    code: AnyCode | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.password is None) == (self.code is None):
            raise ValueError("send either password or code")
        return self
