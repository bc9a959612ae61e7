"""What can be wrong with a second factor."""

from math import ceil

from fluxprint_common.problems import Conflict, FieldProblem, Forbidden, Invalid, NotFound, RateLimited, Unauthenticated


class SecondFactorRequired(Unauthenticated):
    """This account has a second factor; send its code with the challenge to /auth/login/second-factor"""

    code = "second_factor_required"
    keeps_writes = True  # the challenge is kept

    def __init__(self, challenge: str) -> None:
        super().__init__()
        self.challenge = challenge


class SecondFactorInvalid(Unauthenticated):
    """The code is wrong, or was used before; wait for the next one"""

    code = "second_factor_invalid"
    keeps_writes = True  # the failure is counted


class ChallengeInvalid(Unauthenticated):
    """This sign-in has expired, or had too many wrong codes; begin it again"""

    code = "challenge_invalid"


class SecondFactorLocked(RateLimited):
    """Too many wrong codes for this account"""

    code = "second_factor_locked"

    def __init__(self, *, retry_after_s: float) -> None:
        seconds = ceil(retry_after_s)
        super().__init__(f"Too many wrong codes; try again in {seconds} s.", headers={"Retry-After": str(seconds)})


class SecondFactorActive(Conflict):
    """There is a second factor already; turn it off first"""

    code = "second_factor_active"


class NoSecondFactor(NotFound):
    """There is no second factor here; set one up first"""

    code = "no_second_factor"


class NothingToConfirm(Conflict):
    """No second factor waits for its first code; begin with POST /auth/second-factor"""

    code = "nothing_to_confirm"


class ConfirmationCodeWrong(Invalid):
    """This is not the code that the authenticator app shows now; check the clock of the device"""

    code = "second_factor_invalid"

    def __init__(self) -> None:
        problem = FieldProblem(pointer="/code", code="second_factor_invalid", message="Not the code of this moment")
        super().__init__(errors=[problem])


class WrongCode(Forbidden):
    """The code is wrong, or was used before; wait for the next one"""

    code = "second_factor_invalid"
    keeps_writes = True  # the failure is counted
