"""Free ports: nobody gets one that somebody else was just given."""

import subprocess
import sys

import pytest

from fluxprint_local import ports

FEW = 31_000, 31_059
OTHER = f"""
import sys
from fluxprint_local import ports
ports.FIRST, ports.LAST = {FEW}
print(*(ports.free_port() for _ in range(15)), flush=True)
sys.stdin.read()
"""


def test_are_given_once_to_all_who_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "FIRST", FEW[0])
    monkeypatch.setattr(ports, "LAST", FEW[1])
    other = subprocess.Popen([sys.executable, "-c", OTHER], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert other.stdout is not None
        theirs = [int(port) for port in other.stdout.readline().split()]
        ours = [ports.free_port() for _ in range(15)]
        assert len({*theirs, *ours}) == 30
    finally:
        other.communicate()


def test_come_back_when_they_have_not_been_taken_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "FIRST", FEW[0])
    monkeypatch.setattr(ports, "LAST", FEW[1])
    monkeypatch.setattr(ports, "RESERVED", 10)
    assert len([ports.free_port() for _ in range(200)]) == 200
