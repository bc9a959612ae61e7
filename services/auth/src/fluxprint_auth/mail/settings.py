"""Settings of mail: `AUTH_*`."""

from pydantic import BaseModel


class MailSettings(BaseModel):
    """How mail leaves."""
