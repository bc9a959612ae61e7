"""The clock for leases and permits: it goes on while the machine sleeps, so that a lease is over after a nap."""

import time

if hasattr(time, "CLOCK_BOOTTIME"):

    def now() -> float:
        """Seconds since some moment, monotonic, time asleep included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)
else:

    def now() -> float:
        """Seconds since some moment; on this system time asleep may be missing."""
        return time.monotonic()
