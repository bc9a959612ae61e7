"""One way to open the bridge's outbound WebSockets, and what their close codes mean."""

from pydantic import SecretStr
from websockets.asyncio.client import connect

OPEN_TIMEOUT_S = 10
MAX_TEXT_BYTES = 64 * 1024  #: of a message to the bridge; no service sends it anything else than text
MAX_BACKOFF_S = 30.0
PING_TIMEOUT_S = 20.0
CLOSE_TOKEN_ENDED = 4401
CLOSE_TAKEN_OVER = 4409  #: another process connected with the same token


def socket_url(api_url: str, path: str) -> str:
    """The address of a WebSocket below `api_url`, which begins with http or https."""
    return f"ws{api_url.removeprefix('http')}{path}"


def open_socket(url: str, subprotocol: str, token: SecretStr, *, ping_timeout_s: float = PING_TIMEOUT_S) -> connect:
    """To be entered. Raises what `websockets` does, and `OSError` and `TimeoutError`."""
    return connect(
        url,
        subprotocols=[subprotocol],  # type: ignore[list-item]
        additional_headers={"Authorization": f"Bearer {token.get_secret_value()}"},
        open_timeout=OPEN_TIMEOUT_S,
        ping_timeout=ping_timeout_s,
        max_size=MAX_TEXT_BYTES,
        compression=None,
    )
