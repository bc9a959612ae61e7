"""Secrets that lie in files."""

import os
import stat
from pathlib import Path

MAX_KEY_BYTES = 64 * 1024


class KeyFileError(Exception):
    """The file cannot be used; the message says what to do."""


def read_key_file(path: Path, *, strict: bool) -> str:
    """The text of a key file.

    Args:
        strict: refuse a file that everybody on the machine may read or write.

    Raises:
        KeyFileError
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if strict and mode & stat.S_IRWXO:
                raise KeyFileError(f"{path} is open to everybody here (mode {mode:o}); run: chmod 600 {path}")
            return file.read(MAX_KEY_BYTES).decode("ascii")
    except OSError as error:
        raise KeyFileError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise KeyFileError(f"{path} is not a PEM file") from None
