"""The checks of `make lint` find what they are there for: each is shown a planted fault."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.checks import __main__ as runner
from tools.checks import locks, migrations, settings, tree
from tools.checks.__main__ import Check

ROOT = Path(__file__).resolve().parents[3]

#: A wall of .importlinter, and a module that breaks it.
PLANTED = {
    "A service imports no other service": (
        "services/queue/src/fluxprint_queue/planted.py", "import fluxprint_auth.settings",
    ),
    "The common library imports no service": ("libs/common/src/fluxprint_common/planted.py", "import fluxprint_camera"),
    "No service knows how it is run on one machine": (
        "services/camera/src/fluxprint_camera/planted.py", "import fluxprint_local.ports",
    ),
    # Through the common library: it is the image without these packages that would not start.
    "The bridge runs without the web framework and the database": (
        "services/bridge/src/fluxprint_bridge/planted.py", "import fluxprint_common.problems",
    ),
    "Inside a noun: routes, service, repository, models, each only downwards": (
        "services/queue/src/fluxprint_queue/jobs/repository.py", "import fluxprint_queue.jobs.service",
    ),
    "Rules and SQL know no HTTP": ("services/auth/src/fluxprint_auth/sessions/service.py", "import fastapi"),
    "Routes and schemas know no SQL": ("services/queue/src/fluxprint_queue/jobs/routes.py", "import sqlalchemy"),
}  # fmt: skip


class TestWalls:
    def test_each_planted_violation_is_caught(self, tmp_path: Path) -> None:
        sources = [ROOT / "libs/common/src", ROOT / "deploy/local/src", *sorted(ROOT.glob("services/*/src"))]
        for source in sources:
            shutil.copytree(source, tmp_path / source.relative_to(ROOT), ignore=shutil.ignore_patterns("__pycache__"))
        for file, code in PLANTED.values():
            with (tmp_path / file).open("a") as planted:
                planted.write(f"\n{code}\n")
        path = os.pathsep.join(str(tmp_path / source.relative_to(ROOT)) for source in sources)
        done = subprocess.run(
            [Path(sys.executable).with_name("lint-imports"), "--config", ROOT / ".importlinter", "--no-cache"],
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": path},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 1
        verdicts = {line.split(" BROKEN")[0] for line in done.stdout.splitlines() if " BROKEN" in line}
        assert verdicts == set(PLANTED), done.stdout + done.stderr

    def test_every_wall_is_tried(self) -> None:
        names = [
            line.removeprefix("name = ")
            for line in (ROOT / ".importlinter").read_text().splitlines()
            if line.startswith("name")
        ]
        assert set(names) == set(PLANTED)


def joined(*parts: str) -> bytes:
    """Text that must not stand in this file either."""
    return "".join(parts).encode()


class TestTree:
    @pytest.mark.parametrize(
        ("content", "what"),
        [
            (joined("see https://py", "pi.org/project/x"), "package index"),
            (joined("from files.python", "hosted.org"), "package index"),
            (joined("registry.npm", "js.org/x"), "package index"),
            (joined("https://mirror.example.org/root/", "simple/"), "package index"),
            (joined("pip install --index", "-url x"), "package index"),
            (joined("PIP_INDEX", "_URL=x"), "package index"),
            (joined("cd /wo", "rk/main"), "path of one machine"),
            (joined("see /home", "/anna/fluxprint"), "path of one machine"),
            (joined("see /Users", "/anna/fluxprint"), "path of one machine"),
            (joined("see ../sha", "red/notes"), "outside of the repository"),
            (joined("-----BEGIN EC PRIVATE", " KEY-----\nMHcCAQEEIIKdZpWq2Xk5"), "private key"),
            (joined("ey", "JhbGciOiJFUzI1NiJ9.ey", "JzdWIiOiJ1c2VyXzEifQ.c2lnbmF0dXJl"), "a token"),
            (joined("token = fx", "b_8Wq2LmX5vKc7Rd1Tf9Yb3Nh6Jp4Z"), "a token of ours"),
            (joined("AKIA", "IOSFODNN7EXAMPLE"), "a token"),
            (b"x\n" * 401, "more than 400 lines"),
            (b"x" * (tree.MAX_BYTES + 1), "larger than"),
        ],
    )
    def test_a_fault_is_found(self, content: bytes, what: str) -> None:
        (fault,) = tree.faults_of("services/queue/planted.py", content)
        assert what in fault

    @pytest.mark.parametrize(
        "name",
        [
            ".env",
            ".env.production",
            "deploy/.env.bridge",
            "keys/signing.pem",
            "id_ed25519",
            "uv.lock",
            "x/y.pyc",
            "journal.sqlite3",
        ],
    )
    def test_a_file_of_such_a_name_is_found(self, name: str) -> None:
        assert list(tree.faults_of(name, b"")) == [": a file of this name does not belong into git"]

    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("README.md", b"https://github.com/x and http://octopi.local and /home/pi/.octoprint"),
            (".env.example", b"FLUXPRINT_DOMAIN="),
            (".env.bridge.example", b""),
            ("tests/unit/test_x.py", joined("-----BEGIN PRIVATE", " KEY-----\nMHcCAQEEIIKdZpWq2Xk5")),
            ("docs/a.md", joined("for example fx", "b_8Wq2LmX5vKc7Rd1Tf9Yb3Nh6Jp4Z")),
            ("a.stl", b"\0 /work" + b"/x"),
            ("services/x.py", b"x\n" * 400),
            ("docs/framework.md", b"the framework/ and ~/home/ of docs/work/"),
        ],
    )
    def test_what_is_right_is_left_alone(self, name: str, content: bytes) -> None:
        assert list(tree.faults_of(name, content)) == []

    def test_new_files_are_looked_at_and_ignored_ones_are_not(self, tmp_path: Path) -> None:
        subprocess.run(["git", "init", "--quiet", tmp_path], check=True, timeout=30)
        (tmp_path / ".gitignore").write_text("ignored/\n")
        (tmp_path / "ignored").mkdir()
        (tmp_path / "ignored/.env").write_text("x")
        (tmp_path / "new.pem").write_text("x")
        assert list(tree.findings(tmp_path)) == ["new.pem: a file of this name does not belong into git"]


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The files that the checks of locks and settings read."""
    patterns = ("requirements/*", "libs/*/pyproject.toml", "services/*/pyproject.toml", "deploy/*/pyproject.toml",
                ".env*.example", "alembic.ini", "alembic/**/*.py", *settings.READ_ELSEWHERE)  # fmt: skip
    for file in (file for pattern in patterns for file in ROOT.glob(pattern)):
        target = tmp_path / file.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, target)
    return tmp_path


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


class TestLocks:
    def test_a_dependency_that_is_not_locked(self, copied: Path) -> None:
        replace(copied / "libs/common/pyproject.toml", '"httpx>=0.28",', '"httpx>=0.28", "left-pad>=1",')
        found = list(locks.findings(copied))
        assert any(line.startswith("requirements/bridge.txt: left-pad") for line in found)
        assert any(line.startswith("requirements/dev.txt: left-pad") for line in found)

    def test_a_version_that_is_not_what_a_package_asks_for(self, copied: Path) -> None:
        replace(copied / "libs/common/pyproject.toml", '"httpx>=0.28"', '"httpx>=99"')
        assert any(
            "is not what services/auth/pyproject.toml needs (httpx>=99)" in line for line in locks.findings(copied)
        )

    def test_a_version_that_was_not_tested(self, copied: Path) -> None:
        replace(copied / "requirements/camera.txt", "httpx==", "httpx==0.")
        assert any(
            "requirements/camera.txt: httpx 0." in line and "but tested is" in line for line in locks.findings(copied)
        )

    def test_an_entry_without_a_hash_and_an_address(self) -> None:
        text = "a==1 \\\n    --hash=sha256:00\nb==2\n"
        assert list(locks.faults_of(text)) == ["b has no hash"]
        assert list(locks.faults_of("-i https://x.example.org\n")) == ["holds an address"]


class TestSettings:
    @pytest.mark.parametrize(
        ("new", "finding"),
        [
            ("", "QUEUE_LEASE_S is missing"),
            ("#QUEUE_LEASE_S=60\n#QUEUE_LEESE_S=60", "nobody reads QUEUE_LEESE_S"),
            ("#QUEUE_LEASE_S=90", "QUEUE_LEASE_S=90, but the default is 60"),
        ],
    )
    def test_a_difference_to_the_code_is_found(self, copied: Path, new: str, finding: str) -> None:
        before = set(settings.findings(copied))
        replace(copied / ".env.example", "#QUEUE_LEASE_S=60", new)
        assert set(settings.findings(copied)) - before == {f".env.example: {finding}"}


class TestMigrations:
    def test_a_second_head(self, copied: Path) -> None:
        (copied / "alembic/versions/9999_planted.py").write_text(
            '"""planted"""\nrevision = "9999"\ndown_revision = "0001"\n'
        )
        first, second = migrations.branches(copied)
        assert first.startswith("not one head but 2")
        assert second.startswith("0001")

    def test_ours_is_one_line(self) -> None:
        assert migrations.branches(ROOT) == []


class TestRunner:
    def test_a_failing_check_fails_the_whole_and_shows_what_it_said(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        broken = (sys.executable, "-c", "print('what is wrong'); raise SystemExit(3)")
        monkeypatch.setattr(
            runner, "CHECKS", (Check("good", ("true",)), Check("broken", broken), Check("fine", ("true",)))
        )
        with pytest.raises(SystemExit, match="broken failed"):
            runner.main([])
        shown = capsys.readouterr().out
        assert "ok   good" in shown
        assert "FAIL broken" in shown
        assert "what is wrong" in shown

    def test_a_check_that_hangs_fails(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(runner, "TIMEOUT_S", 0.2)
        assert not runner.run(Check("hangs", ("sleep", "60")))
        assert "still running" in capsys.readouterr().out

    def test_an_unknown_check_is_named(self) -> None:
        with pytest.raises(SystemExit, match="no such check: typos; there are: types"):
            runner.main(["typos"])

    def test_all_pass(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(runner, "CHECKS", (Check("good", ("true",)),))
        runner.main([])
