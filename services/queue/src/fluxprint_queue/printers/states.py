"""What a printer's bed and connection can be."""

from enum import StrEnum


class BedState(StrEnum):
    CLEAR = "clear"
    OCCUPIED = "occupied"


class Connection(StrEnum):
    ONLINE = "online"
    PRINTER_OFFLINE = "printer_offline"  # OctoPrint answers, its printer is not connected
    OCTOPRINT_OFFLINE = "octoprint_offline"  # the bridge answers, OctoPrint does not
    OFFLINE = "offline"  # nothing is heard from the bridge
