"""`python -m tools.openapi_document build` writes the document, `check` fails where it and the code differ."""

import copy
import difflib
import json
import sys
from pathlib import Path

from openapi_spec_validator import OpenAPIV31SpecValidator

from tools.apps import create_apps, documents
from tools.openapi_document.merge import Json, MergeError, merge
from tools.openapi_document.rules import violations

FILE = Path(__file__).resolve().parents[2] / "openapi/openapi.json"

_DESCRIPTION = """\
Self-hosted 3D-print management: files, jobs, printers and their bridges, cameras, and what happens to them.

- Sign in with `POST /api/v1/auth/login`, then send `Authorization: Bearer <access_token>`.
- Every error is `application/problem+json` (RFC 9457) with a stable `code`, and `errors` that point at fields.
- Lists come in pages: give `next_cursor` back as `cursor` until it is null.
- Times are RFC 3339 in UTC, durations whole seconds (`_s`), ids opaque text with a prefix (`job_...`).
- New fields and new values of documented open lists are not breaking changes: ignore what you don't know.
"""

HEAD: Json = {
    "openapi": "3.1.1",
    "info": {
        "title": "FluxPrint",
        "version": "",
        "description": _DESCRIPTION,
        "license": {"name": "MIT", "identifier": "MIT"},
    },
    "servers": [
        {
            "url": "https://{host}",
            "description": "production",
            "variables": {"host": {"default": "print.example.org", "description": "Where your FluxPrint answers."}},
            "x-internal": False,
        },
        {"url": "http://127.0.0.1:8080", "description": "the local stack (`make up`)", "x-internal": True},
    ],
}


class DocumentError(Exception):
    """The code does not describe an API that may be published; the message says where."""


def build() -> Json:
    """The document that the code describes.

    Raises:
        DocumentError: services contradict each other, or an operation breaks a rule.
    """
    apps = create_apps()
    versions = {app.version for app in apps.values()}
    if len(versions) != 1:
        raise DocumentError(f"the services are not of one version: {', '.join(sorted(versions))}")
    head = {**HEAD, "info": {**HEAD["info"], "version": versions.pop()}}
    try:
        merged = merge(copy.deepcopy(documents()), head)
    except MergeError as error:
        raise DocumentError(str(error)) from error
    broken = faults_of(merged)
    if broken:
        raise DocumentError("\n".join(broken))
    return merged


def faults_of(merged: Json) -> list[str]:
    """Where a document breaks our rules, or those of OpenAPI itself."""
    invalid = OpenAPIV31SpecValidator(merged).iter_errors()
    return violations(merged) + [f"{'/'.join(map(str, one.absolute_path))}: {one.message}" for one in invalid]


def text_of(merged: Json) -> str:
    """The document as it is written: stable, one thing a line, so that a diff reads well."""
    return json.dumps(merged, indent=2, ensure_ascii=False) + "\n"


def check(built: str) -> None:
    """Fail where the committed document is not the one that the code describes.

    Raises:
        DocumentError: with the first lines that differ.
    """
    committed = FILE.read_text() if FILE.exists() else ""
    if built != committed:
        changes = difflib.unified_diff(
            committed.splitlines(), built.splitlines(), "committed", "code", lineterm="", n=1
        )
        shown = "\n".join(list(changes)[:60])
        raise DocumentError(f"{FILE.name} is not what the code describes; run ./fluxprint openapi\n{shown}")


def main(arguments: list[str]) -> None:
    if arguments not in (["build"], ["check"]):
        sys.exit("usage: python -m tools.openapi_document build|check")
    try:
        built = text_of(build())
        if arguments == ["check"]:
            check(built)
        else:
            FILE.write_text(built)
    except DocumentError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
