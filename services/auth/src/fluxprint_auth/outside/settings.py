"""Settings of a trusted outside issuer: `AUTH_OUTSIDE_*`. Off while `FLUXPRINT_OUTSIDE_ISSUER` is empty."""

from collections.abc import Mapping
from typing import Self

import httpx
from pydantic import BaseModel, Field, SecretStr, model_validator

from fluxprint_auth.organisations.roles import MemberRole
from fluxprint_auth.outside.mapping import SLUG, ClaimMapping, ClaimNames
from fluxprint_auth.outside.service import OutsideIssuer
from fluxprint_auth.outside.tokens import OutsideJwks, OutsideKeys, OutsideSecret, OutsideVerifier, outside_public_key
from fluxprint_common.jwks import JwksClient

MIN_SECRET_CHARS = 32
_JWKS_AGE_S = 300.0


class OutsideSettings(BaseModel):
    """Whose tokens are accepted beside ours, and what they mean."""

    outside_issuer: str | None = None  # FLUXPRINT_OUTSIDE_ISSUER, which all services share

    outside_audience: str | None = Field(None, max_length=500, description="What their `aud` must be")
    outside_secret: SecretStr | None = Field(None, description="For HS256; or AUTH_OUTSIDE_JWKS_URL")
    outside_jwks_url: str | None = Field(None, pattern=r"^https?://", description="For ES256 and RS256")
    outside_max_lifetime_s: int = Field(3600, ge=60, le=86_400, description="Tokens that live longer are refused")

    outside_subject_claim: str = Field("sub", min_length=1, max_length=100)
    outside_email_claim: str = Field("email", min_length=1, max_length=100)
    outside_name_claim: str = Field("name", min_length=1, max_length=100)
    outside_role_claim: str = Field("role", min_length=1, max_length=100)
    outside_organisation_claim: str | None = Field(None, max_length=100)
    outside_emails_verified: bool = Field(False, description="Also without `email_verified`")

    outside_roles: str = Field("", max_length=5000, description="`theirs=ours,...`; what is not named is refused")
    outside_organisation: str | None = Field(None, description="The short name of the one for everybody")
    outside_organisations: str = Field("", max_length=20_000, description="`claim=short name,...`; empty: as it is")

    @model_validator(mode="after")
    def _check_outside(self) -> Self:
        if self.outside_issuer is None:
            if self.outside_secret or self.outside_jwks_url:
                raise ValueError("FLUXPRINT_OUTSIDE_ISSUER: missing, and an outside secret or JWKS is set")
            return self
        if not self.outside_audience:
            raise ValueError("AUTH_OUTSIDE_AUDIENCE: missing; tokens that are meant for others are never accepted")
        if (self.outside_secret is None) == (self.outside_jwks_url is None):
            raise ValueError("AUTH_OUTSIDE_SECRET or AUTH_OUTSIDE_JWKS_URL: set one of them, and not both")
        if self.outside_secret and len(self.outside_secret.get_secret_value()) < MIN_SECRET_CHARS:
            raise ValueError(f"AUTH_OUTSIDE_SECRET: shorter than {MIN_SECRET_CHARS} characters")
        if (self.outside_organisation is None) == (self.outside_organisation_claim is None):
            raise ValueError("AUTH_OUTSIDE_ORGANISATION or AUTH_OUTSIDE_ORGANISATION_CLAIM: set one of them, not both")
        self._mapping()
        return self

    def _mapping(self) -> ClaimMapping:
        """What their claims mean. Raises: ValueError, naming the variable."""
        return ClaimMapping(
            names=ClaimNames(
                subject=self.outside_subject_claim,
                email=self.outside_email_claim,
                name=self.outside_name_claim,
                role=self.outside_role_claim,
                organisation=self.outside_organisation_claim,
            ),
            roles=_roles(self.outside_roles),
            organisation=self.outside_organisation,
            organisations=_organisations(self.outside_organisations),
            emails_verified=self.outside_emails_verified,
        )

    def make_outside_issuer(self, http: httpx.AsyncClient) -> OutsideIssuer | None:
        """The issuer that is trusted; None where nobody is."""
        if self.outside_issuer is None:
            return None
        keys: OutsideKeys
        if self.outside_secret is not None:
            keys = OutsideSecret(self.outside_secret.get_secret_value())
        else:
            keys = OutsideJwks(
                JwksClient(str(self.outside_jwks_url), http=http, max_age_s=_JWKS_AGE_S, parse=outside_public_key)
            )
        verifier = OutsideVerifier(
            keys,
            issuer=self.outside_issuer,
            audience=str(self.outside_audience),
            max_lifetime_s=self.outside_max_lifetime_s,
        )
        return OutsideIssuer(self.outside_issuer, verifier, self._mapping())


def _roles(text: str) -> Mapping[str, MemberRole]:
    pairs = _pairs("AUTH_OUTSIDE_ROLES", text)
    may_be = [role.value for role in MemberRole if role is not MemberRole.OWNER]
    for theirs, ours in pairs.items():
        if ours not in may_be:  # an organisation belongs to somebody who is here
            raise ValueError(f"AUTH_OUTSIDE_ROLES: {theirs!r} is mapped to none of {', '.join(may_be)}")
    if not pairs:
        raise ValueError("AUTH_OUTSIDE_ROLES: missing; without it everybody is refused")
    return {theirs: MemberRole(ours) for theirs, ours in pairs.items()}


def _organisations(text: str) -> Mapping[str, str]:
    pairs = _pairs("AUTH_OUTSIDE_ORGANISATIONS", text)
    for theirs, slug in pairs.items():
        if not SLUG.fullmatch(slug):
            raise ValueError(f"AUTH_OUTSIDE_ORGANISATIONS: {theirs!r} is mapped to what is no short name")
    return pairs


def _pairs(variable: str, text: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for item in filter(None, (item.strip() for item in text.split(","))):
        theirs, equals, ours = (part.strip() for part in item.rpartition("="))
        if not equals or not theirs or not ours or theirs in pairs:
            raise ValueError(f"{variable}: {item!r} is not of the form theirs=ours, or is there twice")
        pairs[theirs] = ours
    return pairs
