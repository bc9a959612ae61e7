"""The keys that this service signs with, as a set to verify with."""

from fluxprint_common.tokens import SigningKey, UnknownKey, VerificationKey, public_key


class PublishedKeys:
    """A `KeySet` of our own public keys: what `/auth/jwks` shows.

    Rotation without downtime: the new key becomes the signing key and the old one the previous; verifiers fetch a key
    that they don't know yet, and the old one stays published until its last token has ended.
    """

    def __init__(self, current: SigningKey, previous: SigningKey | None) -> None:
        keys = [current] if previous is None else [current, previous]
        self.documents = [key.public_jwk for key in keys]
        self._keys = {key.kid: public_key(key.public_jwk) for key in keys}

    async def get(self, kid: str) -> VerificationKey:
        """The key of that id.

        Raises:
            UnknownKey: it is not one of ours.
        """
        try:
            return self._keys[kid]
        except KeyError:
            raise UnknownKey("unknown kid") from None
