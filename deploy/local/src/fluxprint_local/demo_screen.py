"""What the demo shows: one line that is drawn anew, or a line now and then where there is no terminal."""

import sys

BAR_WIDTH = 30
STEP = 0.1


class Screen:
    """Shows a print's state, progress and temperatures."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._terminal = sys.stdout.isatty()
        self._shown = ("", -1.0)

    def say(self, text: str) -> None:
        """A line that stays."""
        if self._terminal:
            sys.stdout.write("\r\033[K")
        print(f"  {text}", flush=True)

    def draw(self, state: str, progress: float | None, temperatures: dict[str, dict[str, float | None]]) -> None:
        """The newest telemetry; `progress` from 0 to 1, temperatures in degrees Celsius."""
        done = progress or 0.0
        if not self._terminal and state == self._shown[0] and abs(done - self._shown[1]) < STEP:
            return
        self._shown = (state, done)
        bar = "#" * round(done * BAR_WIDTH)
        warm = "  ".join(f"{part} {_degrees(value)}" for part, value in sorted(temperatures.items()))
        line = f"  {self._title}  [{bar:<{BAR_WIDTH}}] {done:4.0%}  {state:<10} {warm}"
        sys.stdout.write(f"\r\033[K{line}" if self._terminal else f"{line}\n")
        sys.stdout.flush()


def _degrees(value: dict[str, float | None]) -> str:
    actual, target = value.get("actual"), value.get("target")
    return f"{actual:.0f}/{target:.0f} C" if actual is not None and target is not None else "-"
