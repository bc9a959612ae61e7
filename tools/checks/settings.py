"""`.env.example` and `.env.bridge.example` name every setting that the code reads, with its default, and no other."""

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from fluxprint_auth.settings import AuthSettings
from fluxprint_bridge.settings import BridgeSettings
from fluxprint_camera.settings import CameraSettings
from fluxprint_common.settings import Settings, variable_of
from fluxprint_queue.settings import QueueSettings

ROOT = Path(__file__).resolve().parents[2]

EXAMPLES: dict[str, Sequence[type[Settings]]] = {
    ".env.example": (AuthSettings, QueueSettings, CameraSettings),
    ".env.bridge.example": (BridgeSettings,),
}
#: Where others than a settings class read the environment.
READ_ELSEWHERE = ("docker-compose*.yml", "deploy/compose/*", "alembic/env.py", "deploy/local/src/**/*.py")
#: Settings that say something else where the file is used than what the code falls back to.
OWN_DEFAULT = {"FLUXPRINT_PUBLIC_URL", "QUEUE_OPENAPI_FILE", "FLUXPRINT_CORS_ORIGINS"}

_LINE = re.compile(r"^#?([A-Z][A-Z0-9_]+)=(.*)$", re.MULTILINE)


def findings(root: Path) -> Iterator[str]:
    """Every difference between an example and the code, as a line for a person."""
    elsewhere = "".join(file.read_text() for pattern in READ_ELSEWHERE for file in sorted(root.glob(pattern)))
    for file, classes in EXAMPLES.items():
        text = (root / file).read_text()
        shown = dict(_LINE.findall(text))
        known = {variable_of(cls, name): default_of(cls, name) for cls in classes for name in cls.model_fields}
        yield from (f"{file}: {name} is missing" for name in known if name not in shown)
        for name, value in shown.items():
            if name not in known and not re.search(rf"\b{name}\b", elsewhere):
                yield f"{file}: nobody reads {name}"
            default = known.get(name)
            if default is not None and name not in OWN_DEFAULT and value not in ("", default):
                yield f"{file}: {name}={value}, but the default is {default}"


def default_of(cls: type[Settings], name: str) -> str | None:
    """A setting's default as it is written in an environment, or None where it has none to show."""
    default = cls.model_fields[name].default
    match default:
        case None | SecretStr():
            return None
        case bool():
            return str(default).lower()
        case tuple():
            return ",".join(default)
        case _:
            return None if default is PydanticUndefined else str(default)


if __name__ == "__main__":
    found = list(findings(ROOT))
    if found:
        sys.exit("\n".join(found))
