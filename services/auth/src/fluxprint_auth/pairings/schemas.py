"""Pairing as bridges and people see it."""

from typing import Annotated, Literal

from fastapi import Path
from pydantic import Field

from fluxprint_auth.bridges.schemas import BRIDGE_TOKEN_EXAMPLE, BridgeName
from fluxprint_auth.clients import Client
from fluxprint_auth.opaque import OpaqueToken
from fluxprint_auth.pairings import codes
from fluxprint_auth.pairings.models import PairingRow, PairingState
from fluxprint_common.exchange import MAX_AGENT_CHARS
from fluxprint_common.ids import BridgeId
from fluxprint_common.ratelimit import network
from fluxprint_common.schemas import Input, Output, Seconds, Timestamp

_DEVICE_CODE_EXAMPLE = "fxp_5Tr9Kd2VbNc7Xq1LmZ8Yw3Hj6Gf4Ps0Ae2Ru8Io1Kt5Bv7Cx3Nq"

UserCode = Annotated[
    str,
    Path(min_length=8, max_length=20, description="As the bridge shows it, in any case.", examples=["WDJB-MJHT"]),
]


class BridgePairingStarted(Output):
    """A bridge shows the code and the address, and polls with the device code, which it keeps for itself."""

    device_code: str = Field(max_length=200, examples=[_DEVICE_CODE_EXAMPLE])
    user_code: str = Field(max_length=20, examples=["WDJB-MJHT"])
    verification_url: str = Field(max_length=1000, examples=["https://print.example.org/pair"])
    expires_in_s: Seconds = Field(examples=[600])
    interval_s: Seconds = Field(description="How long to wait between two polls.", examples=[5])


class BridgePairingPoll(Input):
    """A bridge that asks for its token."""

    device_code: Annotated[OpaqueToken, Field(examples=[_DEVICE_CODE_EXAMPLE])]


class PairedBridge(Output):
    """Who the bridge is from now on."""

    bridge_id: BridgeId
    name: BridgeName
    bridge_token: str = Field(
        max_length=200,
        description="To be kept by the bridge alone. Given again to the same device code until it is first used.",
        examples=[BRIDGE_TOKEN_EXAMPLE],
    )


class BridgePairing(Output):
    """A bridge that asks to be let in. Look whether it is yours: somebody may have sent you a code of theirs."""

    user_code: str = Field(max_length=20, examples=["WDJB-MJHT"])
    state: Literal["pending", "approved", "denied", "connected"] = Field(
        description="`approved`: it has not fetched its token yet."
    )
    address: str = Field(max_length=100, description="Where the bridge asked from.", examples=["203.0.113.7"])
    same_network: bool = Field(description="Whether you ask from the same address, or the same IPv6 network.")
    agent: str = Field(max_length=MAX_AGENT_CHARS, description="What it says it is.")
    created_at: Timestamp
    expires_at: Timestamp
    bridge_id: BridgeId | None = Field(description="Null until it is approved.")


class BridgePairingApproval(Input):
    """What the bridge will be called."""

    name: BridgeName


def show_pairing(row: PairingRow, client: Client) -> BridgePairing:
    """A pairing as a person sees it."""
    return BridgePairing(
        user_code=codes.spelt(row.user_code),
        state=PairingState(row.state).value,
        address=row.address,
        same_network=network(row.address) == network(client.address),
        agent=row.agent,
        created_at=row.created_at,
        expires_at=row.expires_at,
        bridge_id=row.bridge_id,
    )
