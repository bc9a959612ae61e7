"""What can be wrong with a change by an administrator."""

from fluxprint_common.problems import Conflict


class LastAdministrator(Conflict):
    """Nobody else could look after this installation; make another administrator first"""

    code = "last_administrator"
