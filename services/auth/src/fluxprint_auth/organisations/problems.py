"""What can be wrong with an organisation."""

from fluxprint_common.problems import Conflict


class TooManyOrganisations(Conflict):
    """You own as many organisations as one person may; hand one over first"""

    code = "too_many_organisations"
