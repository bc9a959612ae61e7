#!/usr/bin/env python3
"""Health check of a bridge's container: whether a bridge holds the journal, which it does once its settings are right.

It serves no HTTP. Whether it reaches its printers and the API is shown where it matters: at the printers, in the API.
"""

import os
import sys
from pathlib import Path


def main() -> int:
    """0 when the journal's lock is held. Only looked at: taking it could meet a bridge that is just starting."""
    try:
        inode = (Path(os.environ["BRIDGE_DATA_DIR"]) / "lock").stat().st_ino
    except FileNotFoundError:
        sys.stdout.write("no journal yet")
        return 1
    held = any(line.split()[5].endswith(f":{inode}") for line in Path("/proc/locks").read_text().splitlines())
    sys.stdout.write("the journal is held" if held else "no bridge holds the journal")
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
