"""The base of the camera service's tables, in the schema `camera`."""

from sqlalchemy.orm import DeclarativeBase

from fluxprint_common.database import metadata_for

SCHEMA = "camera"


class Base(DeclarativeBase):
    metadata = metadata_for(SCHEMA)
