"""A service starts only with settings that are complete and safe, and says by name which are not."""

import os
import subprocess
import sys

import pytest
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from fluxprint_common.settings import (
    EX_CONFIG,
    Environment,
    ServiceSettings,
    SettingsError,
    load,
    weakness,
)

STRONG = "9f1c27b04e6d8a35" * 3
GOOD = {
    "SHOP_PORT": "8010",
    "SHOP_DATABASE_URL": f"postgresql+asyncpg://shop:{STRONG}@db/shop",
    "SHOP_SIGNING_SECRET": STRONG,
    "FLUXPRINT_JWKS_URL": "http://auth:8001/jwks",
}


class ShopSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="SHOP_")
    foreign_secrets = frozenset({"printer_key"})

    signing_secret: SecretStr
    spare_secret: SecretStr | None = None
    printer_key: SecretStr | None = None
    retries: tuple[int, ...] = Field((1, 2))


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("SHOP_", "FLUXPRINT_")):
            monkeypatch.delenv(name)


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> "Refused":
    return Refused(monkeypatch)


class Refused:
    """Loads the settings with some variables changed, which must fail, and gives the lines of the message."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def __call__(self, **changed: str | None) -> list[str]:
        for name, value in {**GOOD, **changed}.items():
            if value is not None:
                self._monkeypatch.setenv(name, value)
        with pytest.raises(SettingsError) as caught:
            load(ShopSettings)
        first, *lines = str(caught.value).splitlines()
        assert first == "cannot start, the settings are not complete:"
        return [line.strip() for line in lines]


def names(lines: list[str]) -> set[str]:
    return {line.split(":")[0] for line in lines}


class TestComplete:
    def test_reads_the_service_s_and_the_shared_names(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in {
            **GOOD,
            "FLUXPRINT_CORS_ORIGINS": "https://a.example.org, https://b.example.org:8443",
        }.items():
            monkeypatch.setenv(name, value)
        settings = load(ShopSettings)
        assert settings.environment is Environment.PRODUCTION
        assert settings.port == 8010
        assert settings.signing_secret.get_secret_value() == STRONG
        assert settings.cors_origins == ("https://a.example.org", "https://b.example.org:8443")

    def test_another_service_s_names_do_not_disturb(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in {**GOOD, "OTHER_TYPO": "1"}.items():
            monkeypatch.setenv(name, value)
        assert load(ShopSettings).port == 8010

    def test_an_empty_value_is_a_missing_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in {**GOOD, "FLUXPRINT_REDIS_URL": "", "SHOP_SPARE_SECRET": ""}.items():
            monkeypatch.setenv(name, value)
        settings = load(ShopSettings)
        assert settings.redis_url is None
        assert settings.spare_secret is None

    def test_development_takes_any_secret(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in {**GOOD, "SHOP_SIGNING_SECRET": "x", "FLUXPRINT_ENVIRONMENT": "development"}.items():
            monkeypatch.setenv(name, value)
        assert load(ShopSettings).signing_secret.get_secret_value() == "x"

    def test_settings_are_not_shown(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in GOOD.items():
            monkeypatch.setenv(name, value)
        assert STRONG not in repr(load(ShopSettings))


class TestRefused:
    def test_every_missing_one_by_name(self, refused: Refused) -> None:
        lines = refused(SHOP_PORT=None, SHOP_DATABASE_URL="", SHOP_SIGNING_SECRET=None, FLUXPRINT_JWKS_URL=None)
        assert names(lines) == {"SHOP_PORT", "SHOP_DATABASE_URL", "SHOP_SIGNING_SECRET", "FLUXPRINT_JWKS_URL"}

    def test_every_unknown_one_by_name(self, refused: Refused) -> None:
        lines = refused(SHOP_PROT="1", FLUXPRINT_REDIS="redis://x")
        assert lines == ["SHOP_PROT: unknown setting", "FLUXPRINT_REDIS: unknown setting"]

    def test_unknown_and_missing_in_one_go(self, refused: Refused) -> None:
        assert names(refused(SHOP_PROT="1", SHOP_PORT=None)) == {"SHOP_PROT", "SHOP_PORT"}

    def test_every_weak_one_by_name(self, refused: Refused) -> None:
        lines = refused(
            SHOP_SIGNING_SECRET="short", SHOP_DATABASE_URL="postgresql+asyncpg://shop:pw@db/shop",
            FLUXPRINT_REDIS_URL="redis://redis:6379/0",
        )  # fmt: skip
        assert names(lines) == {"SHOP_SIGNING_SECRET", "SHOP_DATABASE_URL", "FLUXPRINT_REDIS_URL"}

    def test_secrets_of_other_programs_are_theirs_to_judge(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in {**GOOD, "SHOP_PRINTER_KEY": "ABC"}.items():
            monkeypatch.setenv(name, value)
        assert load(ShopSettings).printer_key is not None

    @pytest.mark.parametrize(
        "variable", ["SHOP_PORT", "SHOP_DATABASE_POOL_SIZE", "SHOP_RETRIES", "FLUXPRINT_LOG_LEVEL",
                     "FLUXPRINT_PUBLIC_URL", "FLUXPRINT_ENVIRONMENT", "FLUXPRINT_RATE_LIMITS_ENABLED"],
    )  # fmt: skip
    def test_an_unfit_value_is_named_and_not_shown(self, refused: Refused, variable: str) -> None:
        (line,) = refused(**{variable: "hunter2"})
        assert variable.split("_", 1)[1].lower() in line.lower()
        assert "hunter2" not in line

    @pytest.mark.parametrize(
        "password", ["hunter2", "hunter2\u2100" + STRONG, "hunter2[" + STRONG, "hunter2/" + STRONG]
    )
    def test_a_refused_url_never_shows_its_password(self, refused: Refused, password: str) -> None:
        (line,) = refused(SHOP_DATABASE_URL=f"postgresql+asyncpg://shop:{password}@db/shop")
        assert line.startswith("SHOP_DATABASE_URL: ")
        assert "hunter2" not in line

    @pytest.mark.parametrize(
        "origin",
        ["*", "https://*.example.org", "app.example.org", "https://app.example.org/", "https://app.example.org/x",
         "https://user@app.example.org", "https://App.example.org", "ftp://app.example.org", "null",
         "http://localhost:3000", "http://127.0.0.1", "http://[::1]:8080"],
    )  # fmt: skip
    def test_an_origin_that_is_not_exact_or_not_for_production(self, refused: Refused, origin: str) -> None:
        (line,) = refused(FLUXPRINT_CORS_ORIGINS=f"https://good.example.org,{origin}")
        assert line.startswith("FLUXPRINT_CORS_ORIGINS: ")


class TestWeakness:
    @pytest.mark.parametrize(
        "secret",
        ["", "short", "x" * 31, "x" * 64, "abc" * 20, "changeme-changeme-changeme-changeme",
         "please-CHANGE_ME-" + STRONG, "my-super-secret-signing-key-0123456789", "redis://h",
         "postgresql://u@h", "postgresql://u:short@h"],
    )  # fmt: skip
    def test_is_found(self, secret: str) -> None:
        assert weakness(secret) is not None

    @pytest.mark.parametrize("secret", [STRONG, f"redis://:{STRONG}@h:6379/0", "-----BEGIN PRIVATE KEY-----\nMIG"])
    def test_is_not_imagined(self, secret: str) -> None:
        assert weakness(secret) is None


class TestProcess:
    def test_ends_with_the_configuration_code_and_no_traceback(self) -> None:
        code = (
            "from fluxprint_common.settings import ServiceSettings, load_or_exit\n"
            "class S(ServiceSettings):\n    model_config = {'env_prefix': 'SHOP_'}\n"
            "load_or_exit(S)"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False,
            env={"PATH": os.environ["PATH"], "SHOP_DATABASE_URL": "postgresql://u:hunter2@h/d"},
        )  # fmt: skip
        assert done.returncode == EX_CONFIG
        assert "SHOP_PORT: Field required" in done.stderr
        assert "Traceback" not in done.stderr
        assert "hunter2" not in done.stderr
