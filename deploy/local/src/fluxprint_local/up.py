"""The commands that run a stack or talk to a running one: `up`, `down`, `admin`."""

import asyncio
import os
import signal
import sys
import time

from fluxprint_local.bootstrap import ROOT
from fluxprint_local.datafolder import Ports
from fluxprint_local.stack import SERVICES, Place, Stack
from fluxprint_local.supervisor import StartFailed, Supervisor

DOWN_TIMEOUT_S = 60


def up(_arguments: list[str]) -> None:
    """Start everything and stay until ctrl-C."""
    place = Place.from_environment(os.environ)
    with place.data.lock(place.public_url):
        asyncio.run(_up(place))


async def _up(place: Place) -> None:
    began = time.monotonic()
    try:
        async with Supervisor(place.data.path) as supervisor:
            ports = await Stack(place, os.environ).start(supervisor)
            print(_welcome(place, ports, time.monotonic() - began), flush=True)
            await asyncio.Event().wait()
    except asyncio.CancelledError:
        print("FluxPrint has stopped.", file=sys.stderr)


def _welcome(place: Place, ports: Ports, seconds: float) -> str:
    data = place.data.path
    shown = data.relative_to(ROOT) if data.is_relative_to(ROOT) else data
    metrics = ", ".join(f"{name} :{getattr(ports, name)}" for name in (*SERVICES, "traefik"))
    return f"""
FluxPrint is up after {seconds:.1f} s. Ctrl-C ends it.
  API      {place.public_url}/api/v1
  docs     {place.public_url}/api/v1/docs
  metrics  http://127.0.0.1:PORT/metrics  ({metrics})
  data     {shown}  (logs in {shown}/logs)
  first administrator:  ./fluxprint admin create you@example.org
"""


def down(_arguments: list[str]) -> None:
    """End the stack of this data folder and wait until it is gone."""
    data = Place.from_environment(os.environ).data
    if (owner := data.owner()) is None:
        sys.exit(f"fluxprint: nothing runs on {data.path}")
    os.kill(owner[0], signal.SIGTERM)
    deadline = time.monotonic() + DOWN_TIMEOUT_S
    while data.owner() == owner:
        if time.monotonic() > deadline:
            sys.exit(f"fluxprint: process {owner[0]} has not ended within {DOWN_TIMEOUT_S} s")
        time.sleep(0.05)


def admin(arguments: list[str]) -> None:
    """Become the auth service's command, with the settings of the running stack. `create` is its `create-admin`."""
    if not arguments:
        sys.exit("usage: ./fluxprint admin create EMAIL [--generate-password]; the others: ./fluxprint admin --help")
    command = ["create-admin", *arguments[1:]] if arguments[0] == "create" else arguments
    place = Place.from_environment(os.environ)
    if place.data.owner() is None:
        raise StartFailed(f"nothing runs on {place.data.path}; start it first with ./fluxprint up")
    auth = Stack(place, os.environ).service("auth", place.data.ports(), place.data.secrets())
    # The logs of a command are for a person.
    environment = {**auth.full_environment(), "FLUXPRINT_LOG_FORMAT": "text"}
    os.execve(sys.executable, [*auth.command, *command], environment)
