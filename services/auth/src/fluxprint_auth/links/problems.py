"""What can be wrong with a link."""

from fluxprint_common.problems import Conflict


class LinkInvalid(Conflict):
    """The link was used, has expired, or was replaced by a newer one; ask for a new one"""

    code = "link_invalid"
