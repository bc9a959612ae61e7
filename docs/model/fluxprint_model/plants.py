"""Faults that can be planted into the model: each must be found by the search, or the model is blind there."""

from enum import StrEnum


class Plant(StrEnum):
    """What is wrong in the planted protocol."""

    # in the queue
    PERMIT_IGNORES_BED = "the permit does not look at the bed"
    GRANT_IGNORES_BED = "a permit that comes with a claim does not look at the bed, and neither does that claim"
    FENCE_UNCHECKED = "a message with an old fence is taken"
    LEASE_ENDS_PERMITTED = "a lease that runs out releases the attempt after the permit, too"
    CANCEL_WITHOUT_ASKING = "a cancel is confirmed without asking the bridge"
    SECOND_LIVE_ATTEMPT = "no index forbids a second live attempt on a printer"
    RESOLVED_WITHIN_PERMIT = "a person's decision is taken while a permit may still be used"
    HAND_PRINT_IGNORED = "a print by hand does not touch the bed of an attempt that has its permit and was not started"
    # in the bridge
    INTENT_NOT_WRITTEN = "start is pressed before the intent is on the disk"
    RESTART_PRESSES = "a bridge without a journal presses start of an attempt that was permitted"
    OTHER_JOURNAL_PRESSES = "the permit is given again to another journal"
    LOOK_GROWS_OLD = "the printer is looked at before the permit, however long ago"
    GRANT_GROWS_OLD = "a permit that comes with a claim is used, however long the claim had waited"
    BLIND_TO_HAND = "a print by hand is noticed in the background, and nothing waits for that"
    OLD_RELEASE_TOLD = "a release that was refused is told again, though another journal has the permit by now"
    # in what is assumed of the world
    RESOLVED_WHILE_FROZEN = "a person decides while OctoPrint is frozen with a start in its hands"
    CONFIRMED_LONG_AGO = "the word that the bed is clear is under way for longer than a print"
    BOTH_COPIES_RUN = "a journal and its copy are run at the same time"
    RESTORED_AND_FORGOTTEN = "a journal is restored from a copy, and OctoPrint forgets what happened since"
    HAND_PRINT_FORGOTTEN = "OctoPrint forgets a print by hand before a bridge has seen it"
