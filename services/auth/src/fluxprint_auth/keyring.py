"""What this service encrypts in its own tables, and the keyed hashes that it makes: all from `AUTH_SECRET`.

Each purpose has keys of its own (HKDF, RFC 5869), so that what was made for one can't be passed off as another's.
Encryption is Fernet (AES-128-CBC with HMAC-SHA256); `AUTH_PREVIOUS_SECRET` still decrypts.
"""

import base64
import hmac
from enum import StrEnum

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class Purpose(StrEnum):
    """What a key is for. The values are part of the keys: never change one."""

    SECOND_FACTOR = "second factor"
    PROVIDER_TOKENS = "provider tokens"
    SIGN_IN_STATE = "sign-in state"
    MAIL = "mail"
    SIGNING_KEY = "signing key"
    FINGERPRINT = "fingerprint"
    CSRF = "csrf"


class Unreadable(Exception):
    """It was not encrypted with this secret, nor with the previous one."""


class Keyring:
    """Encrypts and hashes with a secret; decrypts with the previous one too."""

    def __init__(self, secret: str, previous: str | None = None) -> None:
        self._secrets = [secret] if previous is None else [secret, previous]

    def encrypt(self, purpose: Purpose, plain: bytes) -> bytes:
        """Ciphertext of `plain`, good for this purpose only."""
        return self._fernet(purpose).encrypt(plain)

    def decrypt(self, purpose: Purpose, encrypted: bytes) -> bytes:
        """What was encrypted for this purpose.

        Raises:
            Unreadable
        """
        try:
            return self._fernet(purpose).decrypt(encrypted)
        except InvalidToken:
            raise Unreadable(f"encrypted with another secret ({purpose}); is AUTH_PREVIOUS_SECRET missing?") from None

    def renew(self, purpose: Purpose, encrypted: bytes) -> bytes:
        """The same plaintext, encrypted with the current secret.

        Raises:
            Unreadable
        """
        return self.encrypt(purpose, self.decrypt(purpose, encrypted))

    def is_current(self, purpose: Purpose, encrypted: bytes) -> bool:
        """Whether it was encrypted with the current secret, so that the previous one is not needed for it."""
        try:
            Fernet(_fernet_key(self._secrets[0], purpose)).decrypt(encrypted)
        except InvalidToken:
            return False
        return True

    def mac(self, purpose: Purpose, message: bytes) -> bytes:
        """A keyed hash (HMAC-SHA256, 32 bytes) of `message`, with the current secret."""
        return hmac.digest(_derived(self._secrets[0], purpose), message, "sha256")

    def macs(self, purpose: Purpose, message: bytes) -> list[bytes]:
        """The keyed hashes that are accepted now: with the current secret, and with a previous one."""
        return [hmac.digest(_derived(secret, purpose), message, "sha256") for secret in self._secrets]

    def _fernet(self, purpose: Purpose) -> MultiFernet:
        return MultiFernet([Fernet(_fernet_key(secret, purpose)) for secret in self._secrets])


def _fernet_key(secret: str, purpose: Purpose) -> bytes:
    return base64.urlsafe_b64encode(_derived(secret, purpose))


def _derived(secret: str, purpose: Purpose) -> bytes:
    return HKDF(SHA256(), length=32, salt=None, info=f"fluxprint auth {purpose}".encode()).derive(secret.encode())
