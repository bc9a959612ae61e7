"""The health check that runs in the services' containers."""

import importlib.util
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import ModuleType

import pytest

from fluxprint_local.bootstrap import ROOT


@pytest.fixture
def killed() -> list[str]:
    return []


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: list[str]) -> ModuleType:
    """The script, in a container of its own: here process 1 is the machine's."""
    spec = importlib.util.spec_from_file_location("service_health", ROOT / "deploy/images/service-health.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "SILENT_SINCE", tmp_path / "silent-since")
    monkeypatch.setattr(module, "ANSWER_WITHIN_S", 0.2)
    monkeypatch.setattr(module, "kill_service", lambda: killed.append("service"))
    return module


@contextmanager
def answering(status: int) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/health"
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b'{"status": "said"}')

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


@contextmanager
def hanging() -> Iterator[int]:
    """Takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def silent_for(module: ModuleType, seconds: float) -> None:
    file: Path = module.SILENT_SINCE
    since = file.stat().st_mtime - seconds
    os.utime(file, (since, since))


class TestServiceHealth:
    @pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
    def test_it_passes_on_what_the_service_says(
        self, check: ModuleType, status: int, code: int, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with answering(status) as port:
            assert check.main(port) == code
        assert "said" in capsys.readouterr().out

    def test_a_service_that_hangs_is_killed_after_a_minute(self, check: ModuleType, killed: list[str]) -> None:
        with hanging() as port:
            assert check.main(port) == 1
            silent_for(check, 30)
            assert check.main(port) == 1
            assert killed == []
            silent_for(check, 60)
            assert check.main(port) == 1
        assert killed == ["service"]

    def test_the_one_that_follows_has_its_own_minute(self, check: ModuleType, killed: list[str]) -> None:
        with hanging() as port:
            check.main(port)
            silent_for(check, 60)
            check.main(port)
            check.main(port)
        assert killed == ["service"]

    def test_an_answer_ends_the_silence(self, check: ModuleType, killed: list[str]) -> None:
        with hanging() as port:
            check.main(port)
            silent_for(check, 60)
        with answering(503) as port:
            check.main(port)
        with hanging() as port:
            check.main(port)
        assert killed == []
