"""Mails from templates: the first line of `<name>.txt` is the subject, `<name>.html` says the same with a button."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

MAX_SUBJECT_CHARS = 150
MAX_NAME_CHARS = 40


def moment(at: datetime) -> str:
    """As people read it, whatever their time zone."""
    at = at.astimezone(UTC)
    return f"{at.day} {at:%B %Y, %H:%M} UTC"


def name(chosen: str) -> str:
    """A name that a stranger chose: short, in quotation marks, and with nothing that mail programs make a link of."""
    apart = re.sub(r"[/:@\\]+", " ", chosen).replace(".", ". ").replace('"', "'")
    words = " ".join(apart.split())
    return f'"{words[: MAX_NAME_CHARS - 1].rstrip()}…"' if len(words) > MAX_NAME_CHARS else f'"{words}"'


_TEMPLATES = Environment(
    loader=PackageLoader("fluxprint_auth.mail"),
    autoescape=select_autoescape(["html"], default=False),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters["moment"] = moment
_TEMPLATES.filters["name"] = name


@dataclass(frozen=True)
class Rendered:
    """What somebody reads."""

    subject: str
    text: str
    html: str


def render(template: str, facts: dict[str, object]) -> Rendered:
    """The mail that a template makes of these facts; a missing fact is an error."""
    subject, _, text = _TEMPLATES.get_template(f"{template}.txt").render(facts).partition("\n")
    html = _TEMPLATES.get_template(f"{template}.html").render(facts)
    return Rendered(one_line(subject)[:MAX_SUBJECT_CHARS], text.strip() + "\n", html)


def one_line(words: str) -> str:
    """Without line breaks and other control characters: what stands in a header must not begin another one."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in words).split())
