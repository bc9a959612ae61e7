"""The verdict of `make soak`."""

import pytest

from tools.soak.memory import Held


@pytest.mark.parametrize(
    ("mb", "fds", "flat"),
    [
        ([60.0 + min(n, 15) for n in range(60)], [80] * 60, True),  # warms up, and stays
        ([100.0 + n % 7 for n in range(60)], [80 + n % 9 for n in range(60)], True),
        ([100.0 + n / 2 for n in range(60)], [80] * 60, False),
        ([100.0] * 60, [80 + n for n in range(60)], False),
    ],
    ids=["warm", "breathes", "leaks", "leaks files"],
)
def test_what_goes_on_growing_is_not_flat(mb: list[float], fds: list[int], flat: bool) -> None:
    assert Held("camera", mb, fds).is_flat is flat
