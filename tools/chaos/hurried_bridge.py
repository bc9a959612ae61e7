"""The bridge with shorter waits, and nothing else changed: a run of chaos lasts seconds, not the minutes of real life.

Only what a bridge waits for out of courtesy is shortened: pauses between tries, and standing back for another process.
What must hold before it believes something (`outcome.*_SETTLES_S`) stays, and so do its time-outs.
"""

import importlib
import runpy
import sys

SHORTER = {
    "fluxprint_bridge.bridge": {"MAX_BACKOFF_S": 0.5},
    "fluxprint_bridge.cloud.link": {
        "MAX_BACKOFF_S": 0.5,
        "TAKEN_OVER_PAUSE_S": 1.0,
        "MAX_TAKEN_OVER_PAUSE_S": 1.0,
    },
    "fluxprint_bridge.cloud.redis_link": {"MAX_BACKOFF_S": 0.5},
    "fluxprint_bridge.octoprint.monitor": {"MAX_RECONNECT_S": 0.5, "MAX_SILENCE_S": 1.0},
    "fluxprint_bridge.printer.asking": {"WAIT_S": 1.0, "ANSWER_S": 0.5},
    "fluxprint_bridge.printer.commands": {"MAX_BACKOFF_S": 0.5, "IDLE_S": 1.0},
    "fluxprint_bridge.printer.foreign": {"MAX_BACKOFF_S": 0.5, "LOOK_AGAIN_S": 1.0},
    "fluxprint_bridge.printer.lease": {"MAX_BACKOFF_S": 0.5},
    "fluxprint_bridge.printer.outbox": {"MAX_BACKOFF_S": 0.5},
    "fluxprint_bridge.printer.probe": {"RETRY_S": 0.3, "SILENCE_S": 1.0, "CONNECT_AGAIN_S": 1.0},
    # So that something is staged at all: a bed is cleared half a second after its print.
    "fluxprint_bridge.printer.staging": {"TICK_S": 0.05, "LOOK_S": 1.0, "IDLE_SPREAD_S": 0.05},
    "fluxprint_bridge.printer.starter": {"MAX_BACKOFF_S": 0.5, "LOOK_AGAIN_S": 0.5},
    "fluxprint_bridge.printer.transfer": {"MAX_BACKOFF_S": 0.5},
    "fluxprint_bridge.printer.watcher": {"WATCH_AGAIN_S": 1.0},
    "fluxprint_bridge.printer.worker": {
        "IDLE_WAIT_S": 3.0,
        "MAX_BACKOFF_S": 0.5,
        "MAX_RELEASE_PAUSE_S": 1.0,
        "REFUSED_PAUSE_S": 0.3,
        "STAND_BACK_S": 1.0,
        "MAX_STAND_BACK_S": 1.0,
    },
}


def hurry() -> None:
    """Shorten the waits; ends the program where the bridge no longer has one of them."""
    for name, waits in SHORTER.items():
        module = importlib.import_module(name)
        for wait, seconds in waits.items():
            if getattr(module, wait, 0.0) < seconds:
                sys.exit(f"tools/chaos: {name} has no {wait} that is longer than {seconds} s; bring SHORTER up to date")
            setattr(module, wait, seconds)


if __name__ == "__main__":
    hurry()
    runpy.run_module("fluxprint_bridge", run_name="__main__", alter_sys=True)
