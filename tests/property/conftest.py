"""What the queue service needs around it."""

from support.queue import auth_url
from support.tokens import issuer

__all__ = ["auth_url", "issuer"]
