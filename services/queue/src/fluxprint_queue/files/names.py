"""File names: what people call a file, made harmless. Storage never uses them."""

import unicodedata

from fluxprint_common.problems import FieldProblem, Invalid

EXTENSIONS = ("gcode", "gco", "g")
MAX_NAME_CHARS = 200


class NameInvalid(Invalid):
    """The file name is not accepted"""

    code = "file_name_invalid"


def normalise(name: str) -> tuple[str, str]:
    """The name as it is kept (Unicode NFC), and its extension in lower case.

    Raises:
        NameInvalid: with what is wrong.
    """
    name = unicodedata.normalize("NFC", name).strip()
    stem, dot, extension = name.rpartition(".")
    if any(sign in name for sign in "/\\") or name.startswith("."):
        raise _refusal("path", "A file name has no folder in it and does not start with a dot.")
    if any(unicodedata.category(sign).startswith("C") for sign in name):
        raise _refusal("characters", "A file name has no control or invisible characters.")
    if not dot or not stem.strip() or extension.lower() not in EXTENSIONS:
        raise _refusal("extension", "Only .gcode, .gco and .g files are taken.")
    if len(name) > MAX_NAME_CHARS:
        raise _refusal("length", f"A file name has at most {MAX_NAME_CHARS} characters.")
    return name, extension.lower()


def _refusal(code: str, message: str) -> NameInvalid:
    return NameInvalid(message, errors=[FieldProblem(pointer="/file", code=code, message=message)])
