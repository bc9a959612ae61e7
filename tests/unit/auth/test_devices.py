"""What is recognised of a client, and what is not kept of it."""

import pytest

from fluxprint_auth.clients import Client
from fluxprint_auth.sessions.devices import device_of, traits_of

CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"
)
FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 "
    "Mobile/15E148 Safari/604.1"
)


class TestDevice:
    @pytest.mark.parametrize(
        ("agent", "device"),
        [
            (CHROME, "Chrome on Windows"),
            (f"{CHROME} Edg/141.0.0.0", "Edge on Windows"),
            (f"{CHROME} OPR/120.0", "Opera on Windows"),
            (FIREFOX, "Firefox on Linux"),
            (IPHONE, "Safari on iPhone"),
            (IPHONE.replace("Version/18.6", "CriOS/141.0"), "Chrome on iPhone"),
            ("Mozilla/5.0 (Linux; Android 15; Pixel 9) Chrome/141.0.0.0 Mobile Safari/537.36", "Chrome on Android"),
            ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/18.6 Safari/605.1.15", "Safari on macOS"),
            ("Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) Chrome/141.0.0.0 Safari/537.36", "Chrome on ChromeOS"),
            ("Mozilla/5.0 (Windows NT 10.0; Win64; x64)", "Windows"),
            ("curl/8.14.1", "curl"),
            ("python-httpx/0.28.1", "python-httpx"),
            ("PrusaSlicer/2.9.2 (Linux)", "PrusaSlicer"),
            ("Mozilla/5.0", None),
            ("", None),
            ("\x00\x1b[31m", None),
            ("<script>", None),
        ],
    )
    def test_is_named_in_a_few_words(self, agent: str, device: str | None) -> None:
        assert device_of(agent) == device

    def test_is_never_long(self) -> None:
        assert len(device_of("x" * 300) or "") <= 40


class TestTraits:
    def test_are_the_same_after_an_update_and_elsewhere(self) -> None:
        before = Client("192.0.2.1", FIREFOX, "de-CH,de;q=0.9")
        after = Client("2001:db8::1", FIREFOX.replace("142", "150"), "de,en;q=0.5")
        assert traits_of(before) == traits_of(after)

    @pytest.mark.parametrize("other", [Client("", CHROME, "de"), Client("", FIREFOX, "fr"), Client("", FIREFOX)])
    def test_differ_with_program_system_and_language(self, other: Client) -> None:
        assert traits_of(other) != traits_of(Client("", FIREFOX, "de"))

    def test_hold_neither_version_nor_address(self) -> None:
        assert traits_of(Client("192.0.2.1", FIREFOX, "de-CH")) == b"Firefox on Linux\nde"
