"""The harness's bridge is the real one with shorter waits: what it shortens must be there."""

import importlib

import pytest

from tools.chaos.hurried_bridge import SHORTER


@pytest.mark.parametrize("name", SHORTER)
def test_the_bridge_has_every_wait_that_is_shortened(name: str) -> None:
    module = importlib.import_module(name)
    for wait, seconds in SHORTER[name].items():
        assert getattr(module, wait, 0.0) >= seconds, f"{name}.{wait}: bring SHORTER up to date"
