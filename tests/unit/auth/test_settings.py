"""The auth service's settings: what keeps it from starting, by name."""

from pathlib import Path

import httpx
import pytest

from fluxprint_auth.settings import AuthSettings
from fluxprint_common.settings import SettingsError, load
from support.auth import new_key_pem

DATABASE = "postgresql+asyncpg://fluxprint_auth:0123456789abcdefghijklmnopqrstuv@127.0.0.1/fluxprint"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A production environment that lacks nothing but the key."""
    monkeypatch.setenv("AUTH_DATABASE_URL", DATABASE)
    monkeypatch.setenv("AUTH_SECRET", "0c8d4a7f3b1e9652d8f7a0c3b5e1d946")
    return monkeypatch


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "signing-key.pem"
    path.touch(mode=0o600)
    path.write_text(new_key_pem())
    return path


class TestSigningKey:
    def test_need_not_be_supplied(self, environment: pytest.MonkeyPatch) -> None:
        assert load(AuthSettings).load_signing_key() is None

    def test_may_be_in_the_environment(self, environment: pytest.MonkeyPatch) -> None:
        environment.setenv("AUTH_SIGNING_KEY", new_key_pem())
        key = load(AuthSettings).load_signing_key()
        assert key is not None
        assert key.public_jwk["alg"] == "ES256"

    def test_may_be_in_a_file(self, environment: pytest.MonkeyPatch, key_file: Path) -> None:
        environment.setenv("AUTH_SIGNING_KEY_FILE", str(key_file))
        assert load(AuthSettings).load_previous_signing_key() is None

    def test_in_both_is_ambiguous(self, environment: pytest.MonkeyPatch, key_file: Path) -> None:
        environment.setenv("AUTH_SIGNING_KEY", new_key_pem())
        environment.setenv("AUTH_SIGNING_KEY_FILE", str(key_file))
        with pytest.raises(SettingsError, match="AUTH_SIGNING_KEY: set this or AUTH_SIGNING_KEY_FILE, not both"):
            load(AuthSettings)

    def test_in_a_file_that_everybody_may_read_is_refused(
        self, environment: pytest.MonkeyPatch, key_file: Path
    ) -> None:
        key_file.chmod(0o644)
        environment.setenv("AUTH_SIGNING_KEY_FILE", str(key_file))
        with pytest.raises(SettingsError, match=r"AUTH_SIGNING_KEY_FILE: .* is open to everybody .* chmod 600"):
            load(AuthSettings)
        environment.setenv("FLUXPRINT_ENVIRONMENT", "development")
        load(AuthSettings)

    @pytest.mark.parametrize(
        "text", ["", "not a key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"]
    )
    def test_that_is_none_is_refused_without_being_shown(
        self, environment: pytest.MonkeyPatch, key_file: Path, text: str
    ) -> None:
        key_file.write_text(text)
        environment.setenv("AUTH_PREVIOUS_SIGNING_KEY_FILE", str(key_file))
        environment.setenv("AUTH_SIGNING_KEY", new_key_pem())
        with pytest.raises(SettingsError, match="AUTH_PREVIOUS_SIGNING_KEY_FILE: not an") as error:
            load(AuthSettings)
        assert "AAAA" not in str(error.value)

    def test_in_a_file_that_is_not_there_is_named(self, environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
        environment.setenv("AUTH_SIGNING_KEY_FILE", str(tmp_path / "none.pem"))
        with pytest.raises(SettingsError, match=r"none\.pem cannot be read: No such file"):
            load(AuthSettings)


class TestFigures:
    @pytest.mark.parametrize("limit", ["30/5minute", "10/hour", "1/second"])
    def test_of_limits_are_understood(self, environment: pytest.MonkeyPatch, limit: str) -> None:
        environment.setenv("AUTH_SIGNING_KEY", new_key_pem())
        environment.setenv("AUTH_LIMIT_LOGIN", limit)
        assert load(AuthSettings).limit_login == limit

    @pytest.mark.parametrize("limit", ["many", "5", "5/fortnight", "-1/hour"])
    def test_of_limits_that_mean_nothing_are_refused(self, environment: pytest.MonkeyPatch, limit: str) -> None:
        environment.setenv("AUTH_SIGNING_KEY", new_key_pem())
        environment.setenv("AUTH_LIMIT_LOGIN", limit)
        with pytest.raises(SettingsError, match="AUTH_LIMIT_LOGIN"):
            load(AuthSettings)

    def test_that_nobody_knows_are_refused(self, environment: pytest.MonkeyPatch) -> None:
        environment.setenv("AUTH_SIGNING_KEY", new_key_pem())
        environment.setenv("AUTH_LOCKOUT_FALIURES", "3")
        with pytest.raises(SettingsError, match="AUTH_LOCKOUT_FALIURES: unknown setting"):
            load(AuthSettings)


class TestSecret:
    def test_is_needed_in_production(self, environment: pytest.MonkeyPatch) -> None:
        environment.setenv("AUTH_SIGNING_KEY", new_key_pem())
        environment.delenv("AUTH_SECRET")
        with pytest.raises(SettingsError, match=r"AUTH_SECRET: missing; make one with: openssl"):
            load(AuthSettings)
        environment.setenv("FLUXPRINT_ENVIRONMENT", "development")
        load(AuthSettings)

    def test_that_is_weak_is_refused(self, environment: pytest.MonkeyPatch) -> None:
        environment.setenv("AUTH_SIGNING_KEY", new_key_pem())
        environment.setenv("AUTH_SECRET", "too short")
        with pytest.raises(SettingsError, match="AUTH_SECRET: the secret is shorter"):
            load(AuthSettings)


class TestOutsideIssuer:
    GOOD = (
        ("FLUXPRINT_OUTSIDE_ISSUER", "https://shop.example.org"),
        ("AUTH_OUTSIDE_AUDIENCE", "fluxprint"),
        ("AUTH_OUTSIDE_SECRET", "c91f0d5e7a3b48264d8e1f7a0b3c5d92"),
        ("AUTH_OUTSIDE_ROLES", "boss=manager, a=b=viewer,guest=client"),
        ("AUTH_OUTSIDE_ORGANISATION", "shop"),
    )

    def test_is_nobody_at_first(self, environment: pytest.MonkeyPatch) -> None:
        assert load(AuthSettings).make_outside_issuer(httpx.AsyncClient()) is None

    def test_is_somebody_where_all_is_said(self, environment: pytest.MonkeyPatch) -> None:
        for variable, value in self.GOOD:
            environment.setenv(variable, value)
        assert load(AuthSettings).make_outside_issuer(httpx.AsyncClient()) is not None
        environment.delenv("AUTH_OUTSIDE_SECRET")
        environment.setenv("AUTH_OUTSIDE_JWKS_URL", "https://shop.example.org/jwks")
        assert load(AuthSettings).make_outside_issuer(httpx.AsyncClient()) is not None

    @pytest.mark.parametrize(
        ("variable", "value", "complaint"),
        [
            ("FLUXPRINT_OUTSIDE_ISSUER", "", "FLUXPRINT_OUTSIDE_ISSUER: missing"),
            ("FLUXPRINT_OUTSIDE_ISSUER", "fluxprint", "FLUXPRINT_OUTSIDE_ISSUER: this is what our own tokens say"),
            ("AUTH_OUTSIDE_AUDIENCE", "", "AUTH_OUTSIDE_AUDIENCE: missing"),
            ("AUTH_OUTSIDE_SECRET", "", "AUTH_OUTSIDE_SECRET or AUTH_OUTSIDE_JWKS_URL"),
            ("AUTH_OUTSIDE_SECRET", "c91f0d5e7a3b48264d8e1f7a0b3c5d9", "AUTH_OUTSIDE_SECRET: .*shorter than 32"),
            ("AUTH_OUTSIDE_SECRET", "changeme" * 5, "AUTH_OUTSIDE_SECRET: the secret is a placeholder"),
            ("AUTH_OUTSIDE_SECRET", "0c8d4a7f3b1e9652d8f7a0c3b5e1d946", "AUTH_OUTSIDE_SECRET: the same as AUTH_SECRET"),
            ("AUTH_OUTSIDE_JWKS_URL", "https://x.test/jwks", "AUTH_OUTSIDE_SECRET or AUTH_OUTSIDE_JWKS_URL"),
            ("AUTH_OUTSIDE_JWKS_URL", "file:///etc/passwd", "AUTH_OUTSIDE_JWKS_URL"),
            ("AUTH_OUTSIDE_ROLES", "", "AUTH_OUTSIDE_ROLES: missing"),
            ("AUTH_OUTSIDE_ROLES", "boss=owner", "AUTH_OUTSIDE_ROLES: 'boss' is mapped to none of manager"),
            ("AUTH_OUTSIDE_ROLES", "boss=bridge", "AUTH_OUTSIDE_ROLES"),
            ("AUTH_OUTSIDE_ROLES", "boss", "AUTH_OUTSIDE_ROLES: 'boss' is not of the form"),
            ("AUTH_OUTSIDE_ROLES", "boss=viewer,boss=manager", "AUTH_OUTSIDE_ROLES: .*twice"),
            ("AUTH_OUTSIDE_ROLES", "=viewer", "AUTH_OUTSIDE_ROLES"),
            ("AUTH_OUTSIDE_ORGANISATION", "", "AUTH_OUTSIDE_ORGANISATION or AUTH_OUTSIDE_ORGANISATION_CLAIM"),
            ("AUTH_OUTSIDE_ORGANISATION_CLAIM", "org", "AUTH_OUTSIDE_ORGANISATION or AUTH_OUTSIDE_ORGANISATION_CLAIM"),
            ("AUTH_OUTSIDE_ORGANISATIONS", "7=No Slug", "AUTH_OUTSIDE_ORGANISATIONS: '7'"),
            ("AUTH_OUTSIDE_MAX_LIFETIME_S", "100000", "AUTH_OUTSIDE_MAX_LIFETIME_S"),
        ],
    )
    def test_is_not_trusted_by_half(
        self, environment: pytest.MonkeyPatch, variable: str, value: str, complaint: str
    ) -> None:
        for name, good in (*self.GOOD, (variable, value)):
            environment.setenv(name, good)
        with pytest.raises(SettingsError, match=complaint) as caught:
            load(AuthSettings)
        assert "c91f0d5e" not in str(caught.value)
