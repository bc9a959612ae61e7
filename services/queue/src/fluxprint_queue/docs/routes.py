"""The API's document and a page for people: Swagger UI from a wheel, so that nothing is loaded from elsewhere."""

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from pathlib import Path

from fastapi import APIRouter, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import FileResponse, HTMLResponse

from fluxprint_common.problems import NotFound

router = APIRouter(include_in_schema=False)

_ASSETS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}


@router.get("/openapi.json")
async def get_openapi_document(request: Request) -> FileResponse:
    """The merged document of all services, as it was built and committed."""
    path: Path = request.app.state.settings.openapi_file
    if not path.is_file():  # noqa: ASYNC240  (one look at a local file)
        raise NotFound("This installation has no OpenAPI document; set QUEUE_OPENAPI_FILE.")
    return FileResponse(path, media_type="application/json", headers={"Cache-Control": "no-cache"})


@router.get("/docs")
async def get_docs_page() -> HTMLResponse:
    """Swagger UI."""
    page, policy = _page()
    return HTMLResponse(page, headers={"Content-Security-Policy": policy})


@router.get("/docs/{asset}")
async def get_docs_asset(asset: str) -> Response:
    """The page's script and style."""
    if asset not in _ASSETS:
        raise NotFound
    content = (files("fastapi_offline") / "static" / asset).read_bytes()
    return Response(content, media_type=_ASSETS[asset], headers={"Cache-Control": "public, max-age=86400"})


@cache
def _page() -> tuple[str, str]:
    """The page, and the policy that lets exactly its own inline script run."""
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title="FluxPrint API",
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="data:,",
    )
    html = bytes(page.body).decode()
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests)
    return html, (
        f"default-src 'none'; script-src 'self' {allowed}; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'"
    )
