"""Settings of accounts: `AUTH_*`."""

from typing import Literal

from pydantic import BaseModel, Field

from fluxprint_auth.limits import Limit


class AccountSettings(BaseModel):
    """Who may register, how passwords are hashed, and what guessing costs."""

    registration_enabled: bool = True
    lockout_failures: int = Field(5, ge=2, le=100)
    lockout_s: int = Field(900, ge=1, le=86400)
    lockout_account_failures: int = Field(50, ge=2, le=10_000, description="From everywhere; per lockout_reset_s")
    lockout_network_failures: int = Field(100, ge=2, le=10_000, description="Of all accounts; per lockout_reset_s")
    lockout_reset_s: int = Field(3600, ge=1, le=7 * 86400)

    email_verification: Literal["auto", "off", "required"] = Field(
        "auto", description="auto: required in production where mail is sent"
    )
    email_link_s: int = Field(86400, ge=300, le=7 * 86400, description="How long an address can be confirmed")
    password_link_s: int = Field(3600, ge=300, le=86400, description="How long a new password can be set")

    # OWASP's password storage cheat sheet: 46 MiB, one pass, one lane. Raised figures apply from the next login on.
    argon2_memory_kib: int = Field(47104, ge=8192, le=1024 * 1024)
    argon2_time_cost: int = Field(1, ge=1, le=20)
    password_hashes_at_once: int = Field(2, ge=1, le=32)

    limit_register: Limit = "30/hour"
    limit_login: Limit = "30/5minute"
    limit_login_account: Limit = "20/15minute"
    limit_links: Limit = "60/hour"
    limit_mail: Limit = "20/hour"
    limit_mail_account: Limit = "5/hour"
    limit_password_change: Limit = "20/hour"  # noqa: S105  (a figure)
