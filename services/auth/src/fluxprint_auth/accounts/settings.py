"""Settings of accounts: `AUTH_*`."""

from pydantic import BaseModel, Field

from fluxprint_auth.limits import Limit


class AccountSettings(BaseModel):
    """Who may register, how passwords are hashed, and what guessing costs."""

    registration_enabled: bool = True
    lockout_failures: int = Field(5, ge=2, le=100)
    lockout_s: int = Field(900, ge=1, le=86400)
    lockout_reset_s: int = Field(3600, ge=1, le=7 * 86400)

    # OWASP's password storage cheat sheet: 46 MiB, one pass, one lane. Raised figures apply from the next login on.
    argon2_memory_kib: int = Field(47104, ge=8192, le=1024 * 1024)
    argon2_time_cost: int = Field(1, ge=1, le=20)
    password_hashes_at_once: int = Field(2, ge=1, le=32)

    limit_register: Limit = "30/hour"
    limit_login: Limit = "30/5minute"
    limit_login_account: Limit = "20/15minute"
