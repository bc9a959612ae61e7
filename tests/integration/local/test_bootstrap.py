"""Making a virtual environment from locked requirements; these are empty, so no index is asked."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fluxprint_local import bootstrap
from fluxprint_local.bootstrap import ROOT, SetupError, make_environment

_MAKE = "import sys; from pathlib import Path; from fluxprint_local.bootstrap import make_environment as make; "
_MAKE += "print(make(Path(sys.argv[1]), Path(sys.argv[2])))"


@pytest.fixture
def requirements(tmp_path: Path) -> Path:
    file = tmp_path / "requirements.txt"
    file.write_text("# nothing\n")
    return file


class TestMakeEnvironment:
    def test_makes_a_python_that_runs_and_renews_it_when_the_requirements_change(
        self, tmp_path: Path, requirements: Path
    ) -> None:
        target = tmp_path / "deep" / "venv"
        target.parent.mkdir()
        python = make_environment(target, requirements)
        subprocess.run([python, "-c", "import sys; assert sys.prefix != sys.base_prefix"], check=True, timeout=30)
        stamp = target / ".fluxprint-stamp"
        first = stamp.stat().st_mtime_ns
        make_environment(target, requirements)
        assert stamp.stat().st_mtime_ns == first
        requirements.write_text("# something else\n")
        make_environment(target, requirements)
        assert stamp.stat().st_mtime_ns > first

    def test_an_interrupted_one_is_finished(self, tmp_path: Path, requirements: Path) -> None:
        target = tmp_path / "venv"
        (target / "bin").mkdir(parents=True)
        (target / "bin/python").symlink_to("/nowhere/python")
        python = make_environment(target, requirements)
        subprocess.run([python, "-c", ""], check=True, timeout=30)

    def test_two_at_the_same_time_do_not_break_each_other(self, tmp_path: Path, requirements: Path) -> None:
        command = [sys.executable, "-c", _MAKE, str(tmp_path / "venv"), str(requirements)]
        several = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
        said = [process.communicate(timeout=60) for process in several]
        assert [process.returncode for process in several] == [0, 0, 0], said
        assert sum(b"Setting up" in err for _, err in said) == 1

    def test_a_home_that_cannot_be_written_does_not_matter(
        self, tmp_path: Path, requirements: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nothing-can-be-written-here")
        monkeypatch.delenv("UV_CACHE_DIR", raising=False)
        make_environment(tmp_path / "venv", requirements)

    def test_without_pip_and_uv_the_command_that_installs_them_is_named(
        self, tmp_path: Path, requirements: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("shutil.which", lambda *_, **__: None)
        monkeypatch.setattr(bootstrap, "_has_module", lambda *_: False)
        with pytest.raises(SetupError, match="apt-get install python3-venv"):
            make_environment(tmp_path / "venv", requirements)


class TestScript:
    @pytest.mark.parametrize(("arguments", "code"), [([], 0), (["help"], 0), (["brew"], 1)])
    def test_lists_its_commands_from_any_folder(self, tmp_path: Path, arguments: list[str], code: int) -> None:
        (tmp_path / "queue.py").write_text("raise SystemExit('shadowed')")
        done = subprocess.run(
            [ROOT / "fluxprint", *arguments], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600
        )
        assert done.returncode == code, done.stderr
        for command in ("up", "demo", "test", "lint", "bench", "admin"):
            assert f"\n  {command} " in done.stdout

    def test_make_help_lists_every_target(self) -> None:
        listed = subprocess.run(["make", "-C", ROOT, "help"], capture_output=True, text=True, check=True, timeout=30)
        targets = [line.split(":")[0] for line in (ROOT / "Makefile").read_text().splitlines() if ": ##" in line]
        assert len(targets) >= 10
        for target in targets:
            assert f"make {target} " in listed.stdout

    def test_an_old_python_can_read_what_runs_before_the_environment_is_there(self) -> None:
        for file in ("fluxprint", "deploy/local/src/fluxprint_local/bootstrap.py"):
            ast.parse((ROOT / file).read_text(), feature_version=(3, 8))
        assert os.access(ROOT / "fluxprint", os.X_OK)
