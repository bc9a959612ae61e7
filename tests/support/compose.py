"""The compose files as docker compose reads them, for machines without Docker.

Interpolation, merging and the tags !override and !reset, as far as our files use them. Where the compose plugin is
there, a test compares this with it. Source: the Compose Specification.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from fluxprint_local.bootstrap import ROOT

DEVELOPMENT = ("docker-compose.yml",)
PRODUCTION = ("docker-compose.yml", "docker-compose.prod.yml")
OWN_CERTIFICATE = (*PRODUCTION, "deploy/compose/own-certificate.yml")
OWN_SIGNING_KEY = (*PRODUCTION, "deploy/compose/own-signing-key.yml")

Json = dict[str, Any]


class Missing(Exception):
    """A variable that a file demands with `${NAME:?...}` is not set; the message begins with its name."""


@dataclass(frozen=True)
class _Override:
    value: object


class _Reset:
    pass


class _Loader(yaml.SafeLoader):
    pass


def _override(loader: yaml.SafeLoader, node: yaml.Node) -> _Override:
    match node:
        case yaml.SequenceNode():
            return _Override(loader.construct_sequence(node, deep=True))
        case yaml.MappingNode():
            return _Override(loader.construct_mapping(node, deep=True))
        case _:
            raise TypeError(f"!override on {node}")


_Loader.add_constructor("!override", _override)
_Loader.add_constructor("!reset", lambda *_: _Reset())


def read(file: str) -> Json:
    """One file as it stands, its tags as objects."""
    content: Json = yaml.load((ROOT / file).read_text(), _Loader)  # noqa: S506  (a safe loader, with two tags)
    return {key: value for key, value in content.items() if not key.startswith("x-")}


def merged(files: tuple[str, ...], environment: Mapping[str, str]) -> Json:
    """What the files mean together. Raises: Missing"""
    result: Json = {}
    for file in files:
        result = _merge(result, interpolated(read(file), environment))
    for service in result["services"].values():
        # A variable without a value is passed on where it is set.
        variables = service.get("environment", {}).items()
        given = {name: environment.get(name) if value is None else value for name, value in variables}
        service["environment"] = {name: value for name, value in given.items() if value is not None}
    return result


def without_tags(value: Any) -> Any:
    """For a schema, which knows no tags."""
    match value:
        case _Override(value=inner):
            return without_tags(inner)
        case dict():
            return {key: without_tags(item) for key, item in value.items() if not isinstance(item, _Reset)}
        case list():
            return [without_tags(item) for item in value]
        case _:
            return value


def _merge(below: Any, above: Any, key: str = "") -> Any:
    match below, above:
        case _, _Override(value=value):
            return value
        case dict(), dict():
            together = dict(below)
            for name, value in above.items():
                if isinstance(value, _Reset):
                    assert key != "environment", "docker compose keeps the variable: set it to nothing instead"
                    together.pop(name, None)
                else:
                    together[name] = _merge(below.get(name), value, name)
            return together
        case list(), list() if key not in {"command", "entrypoint", "test"}:
            return below + above
        case _:
            return above


# -- interpolation -------------------------------------------------------------------------------------------------


def interpolated(value: Any, environment: Mapping[str, str]) -> Any:
    """With `${...}` filled in. Raises: Missing"""
    match value:
        case str():
            return _fill(value, environment)
        case dict():
            return {key: interpolated(item, environment) for key, item in value.items()}
        case list():
            return [interpolated(item, environment) for item in value]
        case _Override(value=inner):
            return _Override(interpolated(inner, environment))
        case _:
            return value


_VARIABLE = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)((?P<how>:[-?])(?P<word>.*))?", re.DOTALL)


def variables_in(file: str) -> set[str]:
    """Every variable that a file asks the environment for."""
    text = "\n".join(line.partition(" #")[0] for line in (ROOT / file).read_text().replace("$$", "").splitlines())
    passed_on = {
        name
        for service in read(file)["services"].values()
        for name, value in service.get("environment", {}).items()
        if value is None
    }
    return set(re.findall(r"\$\{([A-Za-z0-9_]+)", text)) | passed_on


def _fill(text: str, environment: Mapping[str, str]) -> str:
    result, position = "", 0
    while (start := text.find("$", position)) >= 0:
        result += text[position:start]
        if text.startswith("$$", start):
            result, position = result + "$", start + 2
        else:
            assert text[start + 1] == "{", text
            end = _closing(text, start + 2)
            result, position = result + _value(text[start + 2 : end], environment), end + 1
    return result + text[position:]


def _closing(text: str, position: int) -> int:
    depth = 1
    while depth:
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        position += 1
    return position - 1


def _value(expression: str, environment: Mapping[str, str]) -> str:
    found = _VARIABLE.fullmatch(expression)
    assert found, expression
    if value := environment.get(found["name"]):
        return value
    match found["how"]:
        case ":-":
            return _fill(found["word"], environment)
        case ":?":
            raise Missing(f"{found['name']}: {found['word']}")
        case _:
            return ""
