"""How hard passwords are to guess."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from fluxprint_auth.accounts.strength import Owner, refuse_guessable, weakness_of
from fluxprint_common.problems import Invalid

ADA = Owner(email="augusta-ada@example.org", name="Ada King of Lovelace", organisation="Analytical Engines")


class TestStrength:
    @pytest.mark.parametrize(
        "password",
        [
            "augusta-ada@example.org", "AUGUSTA-ADA", " Ada King of Lovelace ", "AnalyticalEngines", "lovelace2026",
            "fluxprint1234", "4n4lyt1c4l", "password123456", "qwertyuiopasdf", "aaaaaaaaaaaaaaaa", "a" * 200,
        ],
    )  # fmt: skip
    def test_what_can_be_known_or_is_common_is_refused(self, password: str) -> None:
        assert weakness_of(password, ADA)

    @pytest.mark.parametrize(
        "password",
        [
            "correct horse battery",
            "caf\u00e9 au lait, please",
            "xK9#vQ2!pLw7",
            "\u5370\u5237\u6a5f\u304c\u597d\u304d\u3067\u3059\u3088\u306d",
        ],
    )
    def test_what_is_long_or_random_is_taken(self, password: str) -> None:
        assert weakness_of(password, ADA) is None

    def test_two_spellings_are_one_password(self) -> None:
        owner = Owner(email="x@example.org", name="Caf\u00e9 Lumi\u00e8re")
        assert weakness_of("Cafe\u0301 Lumie\u0300re", owner)

    def test_says_where_and_what_would_help(self) -> None:
        with pytest.raises(Invalid) as refused:
            refuse_guessable("qwertyuiop", ADA, pointer="/new_password")
        problem = refused.value.errors[0]
        assert (problem.pointer, problem.code) == ("/new_password", "password_guessable")
        assert "Add another word or two" in problem.message

    def test_one_persons_words_are_not_anothers(self) -> None:
        """zxcvbn itself keeps them in a dictionary of the process."""
        owners = [Owner(email=f"{word}@example.org", name=word) for word in ("zyqqtrwvb", "kxjjpqwzv")] * 50
        with ThreadPoolExecutor(4) as threads:
            own = threads.map(lambda owner: weakness_of(owner.name, owner) is not None, owners)
            assert all(own)
