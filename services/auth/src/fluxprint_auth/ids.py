"""Kinds of ids that only this service speaks of."""

from typing import Annotated
from uuid import UUID

from fluxprint_common.ids import Prefixed

ApiKeyId = Annotated[UUID, Prefixed("apikey")]
InvitationId = Annotated[UUID, Prefixed("invitation")]
