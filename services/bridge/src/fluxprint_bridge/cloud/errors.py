"""How a call of the cloud can end badly."""


class CloudError(Exception):
    """Something about the cloud; the message is for a person."""


class CloudUnavailable(CloudError):
    """No answer, or one that says: later. The call may have taken effect."""


class CredentialsRefused(CloudUnavailable):
    """The bridge token is not accepted. Nothing works until a person gives another one; nothing is lost meanwhile."""


class CloudRefused(CloudError):
    """The cloud understood and refused; `code` is the stable code of its problem document (RFC 9457)."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.status = status
        self.code = code
