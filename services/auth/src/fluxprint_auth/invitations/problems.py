"""What can be wrong with an invitation."""

from fluxprint_common.problems import Conflict, Forbidden, NotFound


class InvitationInvalid(NotFound):
    """This invitation is not valid, or not any more; ask for a new one"""

    code = "invitation_invalid"


class InvitationForAnother(Forbidden):
    """This invitation went to another e-mail address than yours; sign in with the account of that one"""

    code = "invitation_for_another"


class SignInToAccept(Conflict):
    """Sign in with the account of the invited address, and accept the invitation then"""

    code = "sign_in_to_accept"


class TooManyInvitations(Conflict):
    """Too many invitations of this organisation wait to be accepted; revoke some first"""

    code = "too_many_invitations"
