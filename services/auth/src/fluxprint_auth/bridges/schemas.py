"""Bridge identities as clients see them."""

from typing import Annotated, Literal

from pydantic import Field

from fluxprint_auth.opaque import OpaqueToken
from fluxprint_common.ids import BridgeId
from fluxprint_common.schemas import Input, Name, Output, Seconds, Timestamp

BridgeName = Annotated[Name, Field(examples=["Workshop"])]

BRIDGE_TOKEN_EXAMPLE = "fxb_8Wq2LmX5vKc7Rd1Tf9Yb3Nh6Jp4Zs0Ga2Qe8Uo1Iw5Et7Px3Ck4D"  # noqa: S105


class BridgeCreate(Input):
    """A bridge to be."""

    name: BridgeName


class Bridge(Output):
    """A bridge that works for the organisation's printers."""

    id: BridgeId
    name: BridgeName
    created_at: Timestamp
    last_used_at: Timestamp | None = Field(
        description="When its token was last exchanged, which a running bridge does every few minutes; null: never."
    )
    used_twice_at: Timestamp | None = Field(
        description="When it was last noticed that two bridges use its token; null: never. Then somebody copied it: "
        "revoke the bridge and pair it again."
    )


class BridgeCreated(Output):
    """The new bridge with its token."""

    bridge: Bridge
    bridge_token: str = Field(
        max_length=200,
        description="Shown only now. It goes into the bridge's settings, as `BRIDGE_AUTH_TOKEN`.",
        examples=[BRIDGE_TOKEN_EXAMPLE],
    )


class BridgeTokenExchange(Input):
    """A bridge that wants to work."""

    bridge_token: Annotated[OpaqueToken, Field(examples=[BRIDGE_TOKEN_EXAMPLE])]
    instance: str | None = Field(
        None,
        min_length=8,
        max_length=64,
        pattern="^[A-Za-z0-9_-]+$",
        description="A random name that the bridge makes at each start. By it a token that was copied is noticed.",
        examples=["Zk3vQ8yLr1mT5bXw"],
    )


class BridgeAccess(Output):
    """A bridge's access token; a new one is had the same way."""

    access_token: str = Field(max_length=4096, description="A JWT, for some minutes.")
    token_type: Literal["Bearer"]
    expires_in_s: Seconds = Field(examples=[900])
