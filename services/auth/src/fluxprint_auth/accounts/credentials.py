"""E-mail addresses and passwords as people type them."""

import unicodedata
from typing import Annotated

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, Field, Secret, StringConstraints

MIN_PASSWORD_CHARS = 10
MAX_PASSWORD_CHARS = 200
MAX_EMAIL_CHARS = 254  # RFC 5321, 4.5.3.1.3


def normalise_email(address: str) -> str:
    """The one spelling of an address: Unicode-normalised and in lower case. Asks no name server.

    Raises:
        ValueError: it is no address that mail could reach; the message says why.
    """
    try:
        return validate_email(address, check_deliverability=False).normalized.lower()
    except EmailNotValidError as error:
        raise ValueError(str(error)) from None


Email = Annotated[
    str,
    Field(max_length=MAX_EMAIL_CHARS, json_schema_extra={"format": "email"}, examples=["ada@example.org"]),
    AfterValidator(normalise_email),
]

_SCHEMA: dict[str, object] = {"format": "password", "writeOnly": True}

#: Spaces at the ends belong to a password; everywhere else they are stripped.
GivenPassword = Annotated[
    Secret[Annotated[str, StringConstraints(strip_whitespace=False, min_length=1, max_length=MAX_PASSWORD_CHARS)]],
    Field(json_schema_extra=_SCHEMA, examples=["correct horse battery"]),
]

NewPassword = Annotated[
    Secret[
        Annotated[
            str,
            StringConstraints(strip_whitespace=False, min_length=MIN_PASSWORD_CHARS, max_length=MAX_PASSWORD_CHARS),
        ]
    ],
    Field(json_schema_extra=_SCHEMA, examples=["correct horse battery"]),
]


def normalise_password(password: str) -> str:
    """The spelling that is hashed: keyboards compose accents differently (NIST SP 800-63B, 5.1.1.2)."""
    return unicodedata.normalize("NFKC", password)
