"""Reads the cloud's error answers: `application/problem+json`, RFC 9457."""

import httpx

from fluxprint_bridge.cloud.errors import CloudRefused, CloudUnavailable, CredentialsRefused

MAX_DETAIL_CHARS = 300


def checked(response: httpx.Response) -> httpx.Response:
    """The response, if it is a success. Raises `CloudRefused` for a decision, `CloudUnavailable` for what may pass."""
    if response.is_success:
        return response
    code, detail = _problem(response)
    status = response.status_code
    if status == 413:  # a proxy's answer is as final as the service's own
        code = code or "content_too_large"
    if status in {401, 403}:
        raise CredentialsRefused(
            f"the bridge token is not accepted ({code}): pair this bridge again or renew it. {detail}".rstrip()
        )
    if status >= 500 or status in {408, 429} or not status >= 400 or code is None:
        raise CloudUnavailable(f"{response.request.url.path} was answered with {status} {code or ''}".rstrip())
    raise CloudRefused(status, code, detail)


def _problem(response: httpx.Response) -> tuple[str | None, str]:
    """Code and detail. A 4xx without a code comes from something between, such as a proxy without its service."""
    try:
        body = response.json()
    except (ValueError, httpx.ResponseNotRead):
        return None, ""
    if not isinstance(body, dict) or not isinstance(body.get("code"), str):
        return None, ""
    return body["code"], str(body.get("detail") or "")[:MAX_DETAIL_CHARS]
