"""People with an authenticator app."""

import time
from dataclasses import dataclass, field
from typing import Any

import httpx
import pyotp

from support.auth import PASSWORD, Auth, Person


@dataclass
class App:
    """An authenticator app. It shows each code once, as somebody who waits for the next one would see them."""

    secret: str
    recovery_codes: list[str] = field(default_factory=list)

    def code(self, *, periods: int = 0) -> str:
        """The code of this moment, or of so many periods later."""
        return pyotp.TOTP(self.secret).at(time.time(), counter_offset=periods)

    @property
    def wrong(self) -> str:
        """A code of no period that counts now."""
        near = {self.code(periods=periods) for periods in range(-3, 4)}
        return next(code for code in map("{:06}".format, range(10)) if code not in near)


async def set_up(auth: Auth, person: Person) -> App:
    """Give somebody a second factor."""
    answer = await auth.post("/auth/second-factor", headers=person.headers)
    assert answer.status_code == 201, answer.text
    app = App(answer.json()["secret"])
    answer = await auth.post("/auth/second-factor/confirm", {"code": app.code()}, headers=person.headers)
    assert answer.status_code == 200, answer.text
    app.recovery_codes = answer.json()["recovery_codes"]
    await forget_step(auth)
    return app


async def forget_step(auth: Auth) -> None:
    """Let the code of this moment count once more, instead of waiting for the next one."""
    await auth.fetch("UPDATE auth.second_factor SET last_used_step = NULL")


async def challenge(auth: Auth, person: Person) -> str:
    """The challenge of a sign-in whose password was right."""
    answer = await auth.post("/auth/login", {"email": person.email, "password": PASSWORD})
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["code"]) == (401, "second_factor_required")
    return str(problem["challenge"])


async def finish(auth: Auth, challenge: str, code: str) -> httpx.Response:
    """Send the code of a sign-in that waits for it."""
    return await auth.post("/auth/login/second-factor", {"challenge": challenge, "code": code})
