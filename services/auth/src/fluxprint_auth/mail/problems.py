"""What can be wrong with mail."""

from fluxprint_common.problems import Forbidden


class MailDisabled(Forbidden):
    """This installation sends no mail, which this needs; ask whoever looks after it"""

    code = "mail_disabled"
