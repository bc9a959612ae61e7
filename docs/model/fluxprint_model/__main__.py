"""Search the worlds: `python -m fluxprint_model [--large] [NAME...]`, in the folder docs/model."""

import sys
import time

from fluxprint_model.search import Violation, check
from fluxprint_model.worlds import LARGE, WORLDS


def main(arguments: list[str]) -> None:
    names = {argument for argument in arguments if argument != "--large"}
    worlds = [world for world in (LARGE if "--large" in arguments else WORLDS) if not names or world.name in names]
    total = 0
    for world in worlds:
        started = time.monotonic()
        try:
            space = check(world)
        except Violation as violation:
            sys.exit(str(violation))
        total += len(space.states)
        seconds = time.monotonic() - started
        print(f"{world.name:<42} {len(space.states):>9,} states {space.edges:>10,} moves {seconds:6.1f} s", flush=True)
    print(f"{len(worlds)} worlds, {total:,} states: every promise holds")


if __name__ == "__main__":
    main(sys.argv[1:])
