"""Nothing that a service logs shows a secret, whoever logs it and in whichever shape."""

import io
import json
import logging
import sys
from collections.abc import Callable, Iterator

import pytest
import structlog

from fluxprint_common import logs

JWT = "eyJhbGciOiJFUzI1NiIsImtpZCI6ImsifQ.eyJzdWIiOiJ1c2VyXzEifQ.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg"
BRIDGE_TOKEN = "fxb_Zm9v-YmFy_c2VjcmV0LXRva2Vu0123456789"
PASSWORD = "hunter2-Kaffee/Tasse"

Lines = Callable[[], str]


@pytest.fixture(params=["json", "text"])
def output(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lines]:
    """What the configured pipeline wrote; everything global is put back afterwards."""
    written = io.StringIO()
    monkeypatch.setattr(sys, "stdout", written)
    before, root = structlog.get_config(), logging.getLogger()
    handlers, level = list(root.handlers), root.level
    logs.configure(service="test", level="DEBUG", json=request.param == "json")
    try:
        yield written.getvalue
    finally:
        root.handlers, root.level = handlers, level
        structlog.reset_defaults()
        structlog.configure(**before)


class TestSecrets:
    @pytest.mark.parametrize(
        "value",
        [
            pytest.param(JWT, id="jwt"),
            pytest.param(f"Bearer {JWT}", id="header"),
            pytest.param(BRIDGE_TOKEN, id="bridge token"),
            pytest.param(f"postgresql+asyncpg://fluxprint:{PASSWORD}@db/fluxprint", id="database URL"),
            pytest.param(f"redis://:{PASSWORD}@10.0.0.1:6379/0", id="Redis URL"),
            pytest.param(f"GET /stream?token={PASSWORD}&x=1", id="query token"),
            pytest.param(f"GET /stream?view_token={PASSWORD}", id="view token"),
            pytest.param(f"GET /api?apikey={PASSWORD}", id="api key in a query"),
            pytest.param(f"{{'x-api-key': '{PASSWORD}', 'host': 'octopi'}}", id="headers as text"),
            pytest.param(f"X-Api-Key: {PASSWORD}", id="raw header"),
            pytest.param(f"Authorization: Basic {PASSWORD}", id="raw basic"),
            pytest.param(f"password={PASSWORD}", id="setting"),
            pytest.param(f"OCTOPRINT_API_KEY={PASSWORD}", id="environment"),
            pytest.param(f'{{"new_password": "{PASSWORD}"}}', id="JSON body"),
            pytest.param({"authorization": PASSWORD}, id="mapping"),
            pytest.param({"outer": {"refresh_token": PASSWORD}}, id="nested mapping"),
            pytest.param([("a", {"password": PASSWORD})], id="list of mappings"),
            pytest.param([f"redis://:{PASSWORD}@h"], id="list of URLs"),
            pytest.param(ValueError(f"cannot connect to redis://:{PASSWORD}@h"), id="exception object"),
            pytest.param(f"token={PASSWORD}".encode(), id="bytes"),
        ],
    )
    def test_no_value_shows_one(self, output: Lines, value: object) -> None:
        log = logs.get_logger("test")
        log.info("seen", thing=value)
        log.info(f"seen {value}")
        text = output()
        assert text.count("seen") == 2
        for secret in (PASSWORD, JWT.split(".")[2], BRIDGE_TOKEN[4:], "hunter2"):
            assert secret not in text

    @pytest.mark.parametrize(
        "name",
        [
            "password", "new_password", "token", "access_token", "refresh_tokens", "authorization", "Authorization",
            "api_key", "apikey", "x-api-key", "octoprint_api_key", "cookie", "Set-Cookie", "session", "client_secret",
            "private_key", "passphrase", "credentials",
        ],
    )  # fmt: skip
    def test_no_key_of_such_a_name_is_shown(self, output: Lines, name: str) -> None:
        logs.get_logger("test").info("seen", **{name: PASSWORD})
        assert "hunter2" not in output()

    def test_the_standard_library_s_loggers_are_covered(self, output: Lines) -> None:
        log = logging.getLogger("some.library")
        log.warning("connecting to %s with %s", f"redis://:{PASSWORD}@h:1/0", JWT)
        log.warning("extra", extra={"api_key": PASSWORD, "headers": {"cookie": PASSWORD}})
        text = output()
        assert "connecting to redis://[redacted]@h:1/0" in text
        assert "hunter2" not in text
        assert JWT not in text

    def test_exceptions_and_their_causes_are_covered(self, output: Lines) -> None:
        password, token = PASSWORD, JWT  # locals of the frames, too
        try:
            try:
                raise ConnectionError(f"cannot reach redis://:{password}@h")
            except ConnectionError as error:
                raise RuntimeError(f"gave up, token={token}") from error
        except RuntimeError:
            logs.get_logger("test").exception("failed")
            logging.getLogger("some.library").exception("failed too")
        text = output()
        assert text.count("Traceback") >= 2
        assert text.count("gave up") >= 2
        assert "hunter2" not in text
        assert JWT not in text

    def test_what_is_bound_to_the_request_is_covered(self, output: Lines) -> None:
        with structlog.contextvars.bound_contextvars(request_id="req_1", token=PASSWORD):
            logs.get_logger("test").info("seen")
        text = output()
        assert "req_1" in text
        assert "hunter2" not in text


class TestLines:
    @pytest.mark.parametrize("output", ["json"], indirect=True)
    def test_one_json_object_a_line(self, output: Lines) -> None:
        logs.get_logger("test").info("job_created", job_id="job_1", note="two\nlines", sessions=3, ratio=0.5, gone=None)
        logging.getLogger("uvicorn.error").warning("from %s", "uvicorn")
        first, second = (json.loads(line) for line in output().splitlines())
        assert first.pop("at").endswith("Z")
        assert first == {
            "event": "job_created", "job_id": "job_1", "note": "two\nlines", "sessions": 3, "ratio": 0.5,
            "gone": None, "level": "info", "service": "test",
        }  # fmt: skip
        assert (second["event"], second["level"], second["service"]) == ("from uvicorn", "warning", "test")

    def test_harmless_text_stays(self, output: Lines) -> None:
        url = "http://127.0.0.1:8080/api/v1/jobs?state=queued"
        logs.get_logger("test").info("token_refused", url=url, reason="a required claim is missing")
        text = output()
        assert url in text
        assert "token_refused" in text
        assert "a required claim is missing" in text

    def test_the_level_is_kept(self, output: Lines) -> None:
        logging.getLogger().setLevel("WARNING")
        logs.get_logger("test").info("quiet")
        logs.get_logger("test").warning("loud")
        text = output()
        assert "quiet" not in text
        assert "loud" in text


class TestAccessLog:
    FIELDS = {"request_id": "req_1", "method": "GET", "path": "/api/v1/jobs", "status": 200, "ms": 1.5, "client": None}

    @pytest.mark.parametrize("output", ["json"], indirect=True)
    def test_its_lines_are_like_any_other(self, output: Lines, capsys: pytest.CaptureFixture[str]) -> None:
        logs.access_log(service="test", json=True)(self.FIELDS)
        logs.get_logger("test").info("request", **self.FIELDS)
        short, full = json.loads(capsys.readouterr().out), json.loads(output())
        assert short.pop("at")[:16] == full.pop("at")[:16]
        assert short == full

    @pytest.mark.parametrize("as_json", [True, False])
    def test_shows_no_secret(self, output: Lines, capsys: pytest.CaptureFixture[str], *, as_json: bool) -> None:
        logs.access_log(service="test", json=as_json)({**self.FIELDS, "path": f"/{JWT}/token={PASSWORD}"})
        text = output() + capsys.readouterr().out
        assert "req_1" in text
        assert "hunter2" not in text
        assert JWT not in text

    @pytest.mark.parametrize("as_json", [True, False])
    def test_the_level_is_kept(self, output: Lines, capsys: pytest.CaptureFixture[str], *, as_json: bool) -> None:
        logging.getLogger().setLevel("WARNING")
        logs.access_log(service="test", json=as_json)(self.FIELDS)
        assert output() + capsys.readouterr().out == ""
