"""How hard a password is to guess, also for somebody who knows whose it is.

Source: zxcvbn (Wheeler, USENIX Security 2016); NIST SP 800-63B, 5.1.1.2: refuse what is common or in the account.
"""

import re
from dataclasses import dataclass
from threading import Lock

from zxcvbn import zxcvbn

from fluxprint_auth.accounts.credentials import normalise_password
from fluxprint_common.problems import FieldProblem, Invalid

#: Of 4: more than 10^8 guesses.
MIN_SCORE = 3
#: zxcvbn takes no more, and time grows with the length. What is hard to guess by its beginning is so as a whole.
JUDGED_CHARS = 72
_MIN_WORD_CHARS = 3
_MAX_WORDS = 40
_HERE = ("fluxprint", "octoprint")
#: zxcvbn keeps the words of a call in a dictionary of the whole process.
_ONE_AT_A_TIME = Lock()


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Whose password it is."""

    email: str
    name: str
    organisation: str = ""


def refuse_guessable(password: str, owner: Owner, *, pointer: str) -> None:
    """Refuse a password that can be guessed. It takes up to some 100 ms: never on the event loop.

    Args:
        pointer: the field, for the answer.

    Raises:
        Invalid: with what would make it better.
    """
    weakness = weakness_of(password, owner)
    if weakness is not None:
        problem = FieldProblem(pointer=pointer, code="password_guessable", message=weakness)
        raise Invalid("The password is too easy to guess; see errors.", errors=[problem])


def weakness_of(password: str, owner: Owner) -> str | None:
    """Why a password is too easy to guess, and what would help; None where it is not."""
    words = _words_of(owner)
    with _ONE_AT_A_TIME:
        result = zxcvbn(normalise_password(password).strip()[:JUDGED_CHARS], user_inputs=words)
    if result["score"] >= MIN_SCORE:
        return None
    feedback = result["feedback"]
    advice = [feedback["warning"], *feedback["suggestions"]]
    said = " ".join(f"{line.rstrip('.')}." for line in advice if line)
    return said or "It is made of what can be known of you. Add another word or two. Uncommon words are better."


def _words_of(owner: Owner) -> list[str]:
    texts = [owner.email, owner.name, owner.organisation, *_HERE]
    whole = [form for text in texts for form in (text, "".join(text.split()))]
    parts = [part for text in texts for part in re.split(r"[\W_]+", text)]
    wanted = [normalise_password(word).lower() for word in (*whole, owner.email.partition("@")[0], *parts)]
    return [word for word in dict.fromkeys(wanted) if len(word) >= _MIN_WORD_CHARS][:_MAX_WORDS]
