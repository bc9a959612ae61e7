"""What is to happen in one run, drawn from a seed: the same seed and run give the same plan, though not its timing."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

WISHES_S, CHAOS_S = 1.0, 3.5  #: the spans over which jobs, and orders and faults, are spread
#: A share of the faults of bridges and links outlasts a lease; a share of the sudden ones waits for its moment.
LONG_SHARE, OUTLIVES_LEASE_S = 0.08, 5.0
MOMENT_SHARE = 0.5
SHORTEST_PRINT_S, LONGEST_PRINT_S = 0.3, 3.0
SERVERS = ("postgres", "redis", "traefik", "queue")


class Kind(StrEnum):
    """What can break. A fault lasts for its seconds: so long a killed process stays down, a link cut, and so on."""

    KILL = "kill"  #: kill -9
    FREEZE = "freeze"  #: SIGSTOP, then SIGCONT
    CUT = "cut"  #: a link's connections are cut, and new ones refused
    STALL = "stall"  #: nothing goes through a link; what was sent meanwhile arrives afterwards
    SLOW = "slow"  #: each piece takes 0.1 s longer through a link
    DEAF = "deaf"  #: requests go through a link, answers do not, and in the end it is cut
    SERIAL = "serial"  #: the cable between OctoPrint and its printer
    LOST_JOURNAL = "lost journal"  #: a bridge is killed and its data folder deleted
    TWIN = "twin"  #: a second process with a bridge's identity, and an empty journal
    CLONE = "clone"  #: the same with a copy of its journal, as a cloned disk has it


_TIMED = {Kind.KILL, Kind.FREEZE, Kind.CUT, Kind.STALL, Kind.DEAF, Kind.LOST_JOURNAL}

#: How often which fault is drawn. OctoPrint takes long to boot, so it is killed less often than frozen.
_WEIGHTS = {
    (Kind.KILL, "server"): 6,
    (Kind.KILL, "bridge"): 5,
    (Kind.KILL, "octoprint"): 1,
    (Kind.FREEZE, "server"): 3,
    (Kind.FREEZE, "bridge"): 3,
    (Kind.FREEZE, "octoprint"): 3,
    (Kind.CUT, "link"): 3,
    (Kind.STALL, "link"): 3,
    (Kind.SLOW, "link"): 2,
    (Kind.DEAF, "link"): 3,
    (Kind.SERIAL, "octoprint"): 1,
    (Kind.LOST_JOURNAL, "bridge"): 1,
    (Kind.TWIN, "bridge"): 1,
    (Kind.CLONE, "bridge"): 1,
}


#: The requests of a bridge whose moment matters most: by the words of their first line, and the link they take.
MOMENTS = (
    ("cloud", "/claim HTTP"),
    ("cloud", "/permit HTTP"),
    ("cloud", "/reports HTTP"),
    ("octoprint", "POST /api/files/local HTTP"),  # the upload
    ("octoprint", "POST /api/files/local/"),  # the start
)
#: How long a fault waits for its moment before it happens anyway.
MOMENT_WITHIN_S = 2.0


@dataclass(frozen=True)
class Moment:
    """When a request passes a link: as it comes, or right after it went on to the server."""

    link: str
    words: str
    before: bool


@dataclass(frozen=True)
class Fault:
    at_s: float
    lasts_s: float
    kind: Kind
    target: str  #: a process or a link of `system.System`
    moment: Moment | None = None  #: the next one after `at_s`

    def __str__(self) -> str:
        when = f" {'before' if self.moment.before else 'at'} {self.moment.words}" if self.moment else ""
        return f"{self.kind} {self.target}{when}"


@dataclass(frozen=True)
class Wish:
    """A job that somebody wants, and how they ask for it."""

    at_s: float
    name: str
    print_s: float
    copies: int
    printer: int | None  #: only on this one
    key: bool  #: with an Idempotency-Key, and repeated until it is answered
    times: int  #: so many requests at once


@dataclass(frozen=True)
class Order:
    """What somebody asks of a job of the run, whatever it is doing then."""

    at_s: float
    wish: int
    what: str  #: `cancel`, `pause` or `resume`
    moment: Moment | None = None


@dataclass(frozen=True)
class Plan:
    name: str
    wishes: tuple[Wish, ...]
    orders: tuple[Order, ...]
    faults: tuple[Fault, ...]


def draw(seed: str, run: int, *, printers: int, bridges: Sequence[str], links: Sequence[str]) -> Plan:
    """The plan of a run for so many printers, and the bridges and links of those names."""
    dice = random.Random(f"{seed}/{run}")
    name = f"{seed}-{run}"
    wishes = tuple(_wish(dice, f"{name}-{number}", printers) for number in range(dice.randint(3, 5)))
    orders = [_order(dice, len(wishes), links) for _ in range(dice.choice((0, 1, 2, 3)))]
    orders += [
        Order(order.at_s + dice.uniform(0, 1), order.wish, "resume") for order in orders if order.what == "pause"
    ]
    targets = {
        "server": SERVERS,
        "bridge": bridges,
        "octoprint": [f"octoprint-{number}" for number in range(printers)],
        "link": links,
    }
    faults = tuple(_fault(dice, targets) for _ in range(dice.randint(3, 6)))
    return Plan(name, wishes, tuple(orders), faults)


def _wish(dice: random.Random, name: str, printers: int) -> Wish:
    key = dice.random() < 0.7
    return Wish(
        at_s=dice.uniform(0, WISHES_S),
        name=name,
        print_s=dice.triangular(SHORTEST_PRINT_S, LONGEST_PRINT_S, SHORTEST_PRINT_S),
        copies=dice.choice((1, 1, 1, 1, 2)),
        printer=dice.choice((None, None, None, dice.randrange(printers))),
        key=key,
        times=dice.choice((1, 2, 5)) if key else dice.choice((1, 1, 2)),
    )


def _order(dice: random.Random, wishes: int, links: Sequence[str]) -> Order:
    what = dice.choice(("cancel", "cancel", "pause"))
    moment = _moment(dice, "", links) if dice.random() < MOMENT_SHARE else None
    return Order(dice.uniform(0.2, CHAOS_S), dice.randrange(wishes), what, moment)


def _fault(dice: random.Random, targets: Mapping[str, Sequence[str]]) -> Fault:
    kind, what = dice.choices(list(_WEIGHTS), weights=list(_WEIGHTS.values()))[0]
    target = dice.choice(targets[what])
    lasts_s = dice.triangular(0.05, 2, 0.4)
    if what in {"bridge", "link"} and dice.random() < LONG_SHARE:
        lasts_s += OUTLIVES_LEASE_S
    timed = kind in _TIMED and dice.random() < MOMENT_SHARE
    moment = _moment(dice, target, targets["link"]) if timed else None
    return Fault(dice.triangular(0, CHAOS_S, WISHES_S + 0.5), lasts_s, kind, target, moment)


def _moment(dice: random.Random, target: str, links: Sequence[str]) -> Moment:
    """A request on a link of the bridge that the fault is about, or of any."""
    of, words = dice.choice(MOMENTS)
    bridge = target.partition("/")[0]
    fitting = [link for link in links if link.partition("/")[2].startswith(of)]
    nearest = [link for link in fitting if link.startswith(f"{bridge}/")]
    return Moment(dice.choice(nearest or fitting), words, before=dice.random() < 0.4)


def gcode(name: str, seconds: float) -> bytes:
    """A file of its own that the virtual printer takes about `seconds` for, in steps that let orders in promptly."""
    lines = [f"; {name}", "G21", "G90", "M82", "G92 E0"]
    for number in range(round(seconds / 0.05)):
        lines += ["G4 P50", f"G1 X{number % 100} Y{number % 50} E{number * 0.01:.2f} F60000"]
    return "\n".join([*lines, ""]).encode()
