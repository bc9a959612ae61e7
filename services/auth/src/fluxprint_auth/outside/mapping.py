"""What an outside issuer's claims mean here: who it is, in which organisation, as what. No default gives anything."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from fluxprint_auth.accounts.credentials import MAX_EMAIL_CHARS, normalise_email
from fluxprint_auth.organisations.roles import MemberRole
from fluxprint_auth.outside.tokens import moment
from fluxprint_common.tokens import Claims

MAX_SUBJECT_CHARS = 255
MAX_NAME_CHARS = 100
MAX_ROLES = 100
SLUG = re.compile(r"[a-z0-9-]{1,60}")
_RANKING = tuple(MemberRole)


class Unmapped(Exception):
    """A genuine token that means nobody here; `reason` is for the log and the security events."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, kw_only=True)
class Outsider:
    """Who a token is about.

    Attributes:
        email: only where the issuer is known to have verified it.
        organisation: the slug of one that must exist.
        expires_at: when the token ends, in seconds since 1970.
    """

    subject: str
    email: str | None
    name: str
    organisation: str
    role: MemberRole
    issued_at: datetime
    expires_at: float


@dataclass(frozen=True, kw_only=True)
class ClaimNames:
    """Where an issuer writes what. A dot leads into an object: `realm_access.roles`."""

    subject: str
    email: str
    name: str
    role: str
    organisation: str | None


@dataclass(frozen=True, kw_only=True)
class ClaimMapping:
    """From claims to people.

    Attributes:
        roles: theirs to ours; what is not in it gives nothing.
        organisation: the slug of the one for everybody; None: the claim says which.
        organisations: what the claim says to slugs; empty: the claim is the slug.
        emails_verified: whether every address counts as verified, also without `email_verified`.
    """

    names: ClaimNames
    roles: Mapping[str, MemberRole]
    organisation: str | None
    organisations: Mapping[str, str]
    emails_verified: bool

    def read(self, claims: Claims) -> Outsider:
        """Who it is.

        Raises:
            Unmapped
        """
        subject = self._subject(claims)
        email = _email(_claim(claims, self.names.email))
        verified = self.emails_verified or claims.get("email_verified") is True
        return Outsider(
            subject=subject,
            email=email if verified else None,
            name=_name(_claim(claims, self.names.name)) or (email or "").partition("@")[0] or "Outside user",
            organisation=self._organisation(claims),
            role=self._role(claims),
            issued_at=datetime.fromtimestamp(moment(claims, "iat"), UTC),
            expires_at=moment(claims, "exp"),
        )

    def _subject(self, claims: Claims) -> str:
        value = _claim(claims, self.names.subject)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)  # some write their row's number
        if not isinstance(value, str) or not 0 < len(value) <= MAX_SUBJECT_CHARS or not value.isprintable():
            raise Unmapped("subject_missing")
        return value

    def _role(self, claims: Claims) -> MemberRole:
        """The highest of those that the token's roles are mapped to."""
        value = _claim(claims, self.names.role)
        theirs = value if isinstance(value, list) else [value]
        ours = {self.roles[role] for role in theirs[:MAX_ROLES] if isinstance(role, str) and role in self.roles}
        if not ours:
            raise Unmapped("role_unmapped")
        return min(ours, key=_RANKING.index)

    def _organisation(self, claims: Claims) -> str:
        if self.organisation is not None:
            return self.organisation
        value = _claim(claims, self.names.organisation or "")
        slug = self.organisations.get(value) if isinstance(value, str) and self.organisations else value
        if not isinstance(slug, str) or not SLUG.fullmatch(slug):
            raise Unmapped("organisation_unmapped")
        return slug


def _claim(claims: Claims, name: str) -> object:
    """A claim by its name, or by its path."""
    if name in claims:
        return claims[name]
    found: object = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _email(value: object) -> str | None:
    if not isinstance(value, str) or len(value) > MAX_EMAIL_CHARS:
        return None
    try:
        return normalise_email(value)
    except ValueError:
        return None


def _name(value: object) -> str:
    """A name on one line, of what can be shown."""
    if not isinstance(value, str):
        return ""
    text = "".join(" " if unicodedata.category(sign)[0] in "CZ" else sign for sign in value)
    return " ".join(text.split())[:MAX_NAME_CHARS].strip()
