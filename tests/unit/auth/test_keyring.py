"""What AUTH_SECRET protects."""

import pytest

from fluxprint_auth.keyring import Keyring, Purpose, Unreadable

OLD, NEW = "0c8d4a7f3b1e9652d8f7a0c3b5e1d946", "9f2e6b8d1c4a7035e8d2b6f9a1c3e570"


class TestKeyring:
    def test_gives_back_what_it_encrypted_and_shows_nothing_of_it(self) -> None:
        encrypted = Keyring(OLD).encrypt(Purpose.MAIL, b"a link")
        assert b"a link" not in encrypted
        assert Keyring(OLD).decrypt(Purpose.MAIL, encrypted) == b"a link"

    def test_keeps_purposes_apart(self) -> None:
        encrypted = Keyring(OLD).encrypt(Purpose.MAIL, b"a link")
        with pytest.raises(Unreadable):
            Keyring(OLD).decrypt(Purpose.SECOND_FACTOR, encrypted)
        assert Keyring(OLD).mac(Purpose.CSRF, b"x") != Keyring(OLD).mac(Purpose.FINGERPRINT, b"x")

    def test_refuses_what_was_changed(self) -> None:
        encrypted = bytearray(Keyring(OLD).encrypt(Purpose.MAIL, b"a link"))
        encrypted[20] ^= 1
        with pytest.raises(Unreadable):
            Keyring(OLD).decrypt(Purpose.MAIL, bytes(encrypted))

    def test_reads_with_the_previous_secret_and_writes_with_the_new_one(self) -> None:
        encrypted = Keyring(OLD).encrypt(Purpose.MAIL, b"a link")
        both = Keyring(NEW, previous=OLD)
        renewed = both.renew(Purpose.MAIL, encrypted)
        assert Keyring(NEW).decrypt(Purpose.MAIL, renewed) == b"a link"
        assert [both.is_current(Purpose.MAIL, each) for each in (encrypted, renewed)] == [False, True]
        with pytest.raises(Unreadable, match="AUTH_PREVIOUS_SECRET"):
            Keyring(NEW).decrypt(Purpose.MAIL, encrypted)

    def test_accepts_keyed_hashes_of_both_secrets(self) -> None:
        both = Keyring(NEW, previous=OLD)
        assert both.macs(Purpose.CSRF, b"x") == [
            Keyring(NEW).mac(Purpose.CSRF, b"x"),
            Keyring(OLD).mac(Purpose.CSRF, b"x"),
        ]
