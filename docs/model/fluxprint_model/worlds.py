"""The worlds that are searched: each is small, and together they combine what may go wrong."""

from fluxprint_model.plants import Plant
from fluxprint_model.state import Left, World

#: What every change is checked against.
WORLDS = (
    World("everything once", Left(crashes=1, presses=1, cancels=1, fails=1, pauses=1)),
    World("forgetful OctoPrint", Left(crashes=1, forgets=1, late=1)),
    World("OctoPrint forgets a paused print", Left(forgets=1, pauses=1)),
    World("late messages", Left(crashes=1, late=2), attempts=1),
    World("slow bridge", Left(crashes=1, leases=1, late=1, faults=1)),
    World("prints by hand", Left(crashes=1, hands=1, stalls=1, forgets=1)),
    World("prints by hand while start is refused", Left(crashes=1, hands=1, presses=1)),
    World("OctoPrint is silent for long", Left(crashes=1, forgets=1, silences=1)),
    World("OctoPrint is silent, and people print by hand", Left(hands=1, pauses=1, cancels=1, silences=1)),
    World("several copies", Left(crashes=1, cancels=1, fails=1), copies=(2,), attempts=3),
    World("several jobs", Left(forgets=1, cancels=1), copies=(1, 1), attempts=3),
    World("faulty files", Left(faults=2, presses=1), max_releases=2, attempts=3),
    World("restored journal", Left(copies=1, crashes=1), bridges=2),
    World("two bridges, lost starts", Left(presses=1), bridges=2, attempts=1),
    World("two bridges, cancels", Left(cancels=1), bridges=2, attempts=1),
    World("two bridges, forgetful OctoPrint", Left(forgets=1), bridges=2, attempts=1),
)

#: With more time: `python -m fluxprint_model --large`.
LARGE = (
    *WORLDS,
    World("two bridges", Left(), bridges=2),
    World("two bridges, late messages", Left(late=1), bridges=2, attempts=1),
    World("two bridges, prints by hand", Left(hands=1), bridges=2, attempts=1),
    World("two bridges, leases", Left(leases=1), bridges=2, attempts=1),
    World("two bridges, crashes", Left(crashes=1, forgets=1), bridges=2, attempts=1),
    World("late messages, three attempts", Left(crashes=1, late=2), attempts=3),
    World("crashes and late starts", Left(crashes=2, presses=2, forgets=1, cancels=1)),
    World("prints by hand and lost starts", Left(crashes=1, hands=1, presses=1, stalls=1, forgets=1)),
    World("prints by hand, again", Left(crashes=2, hands=2, presses=1, stalls=1)),
)

#: The smallest world in which each planted fault breaks a promise, and which promise.
CAUGHT = {
    Plant.PERMIT_IGNORES_BED: (World("", Left(hands=1)), "occupied bed"),
    Plant.GRANT_IGNORES_BED: (World("", Left(), copies=(2,)), "occupied bed"),
    Plant.FENCE_UNCHECKED: (World("", Left(), bridges=2, attempts=1), "has ended was started"),
    Plant.LEASE_ENDS_PERMITTED: (World("", Left()), "has ended was started"),
    Plant.CANCEL_WITHOUT_ASKING: (World("", Left(cancels=1)), "after its cancel was confirmed"),
    Plant.SECOND_LIVE_ATTEMPT: (World("", Left(), copies=(2,), bridges=2), "two live attempts"),
    Plant.RESOLVED_WITHIN_PERMIT: (World("", Left(), bridges=2, attempts=1), "has ended was started"),
    Plant.HAND_PRINT_IGNORED: (World("", Left(crashes=1, hands=1)), "occupied bed"),
    Plant.INTENT_NOT_WRITTEN: (World("", Left(crashes=1, forgets=1)), "started twice"),
    Plant.RESTART_PRESSES: (World("", Left(), bridges=2, attempts=1), "started twice"),
    Plant.OTHER_JOURNAL_PRESSES: (World("", Left(), bridges=2, attempts=1), "lost silently"),
    Plant.LOOK_GROWS_OLD: (World("", Left(hands=1, stalls=1)), "occupied bed"),
    Plant.GRANT_GROWS_OLD: (World("", Left(hands=1, stalls=1)), "occupied bed"),
    Plant.BLIND_TO_HAND: (World("", Left(hands=1, stalls=1)), "occupied bed"),
    Plant.OLD_RELEASE_TOLD: (World("", Left(), bridges=2, attempts=1), "has ended was started"),
    Plant.RESOLVED_WHILE_FROZEN: (World("", Left(presses=1, crashes=1)), "has ended was started"),
    Plant.CONFIRMED_LONG_AGO: (World("", Left(crashes=1, late=1)), "occupied bed"),
    Plant.BOTH_COPIES_RUN: (World("", Left(copies=1), bridges=2, attempts=1), "lost silently"),
    Plant.RESTORED_AND_FORGOTTEN: (World("", Left(copies=1, crashes=1, forgets=1), bridges=2), "started twice"),
    Plant.HAND_PRINT_FORGOTTEN: (World("", Left(hands=1, forgets=1)), "occupied bed"),
}
