"""The token of a bridge that was paired: a file in its data folder, which nobody else may read."""

import os
import stat
import tempfile
from pathlib import Path

from pydantic import SecretStr

FILE = "bridge-token"
MAX_BYTES = 1000


class IdentityError(Exception):
    """The file cannot be used; the message says what to do."""


def read(folder: Path) -> SecretStr | None:
    """The token in this folder, or None where the bridge was not paired.

    Raises:
        IdentityError
    """
    path = folder / FILE
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise IdentityError(f"{path} is open to others (mode {mode:o}); run: chmod 600 {path}")
            text = file.read(MAX_BYTES).decode("ascii").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise IdentityError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        text = ""
    if not text.startswith("fxb_"):
        raise IdentityError(f"{path} holds no bridge token; remove it and pair the bridge again")
    return SecretStr(text)


def prepare(folder: Path) -> None:
    """Make the folder, and see that a file can be written there before a person is asked for anything.

    Raises:
        IdentityError
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise IdentityError(
            f"nothing can be written in {folder}: {error.strerror}; is BRIDGE_DATA_DIR right?"
        ) from None


def write(folder: Path, token: SecretStr) -> Path:
    """Keep the token: mode 600, all of it or nothing, on the disk when this returns.

    It belongs to whom the folder belongs to: the bridge may run as another user than the one who pairs it.

    Raises:
        IdentityError
    """
    path = folder / FILE
    try:
        descriptor, name = tempfile.mkstemp(dir=folder, prefix=f".{FILE}-")  # mode 600
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(token.get_secret_value() + "\n")
                file.flush()
                os.fsync(file.fileno())
            if os.geteuid() == 0:
                owner = folder.stat()
                os.chown(name, owner.st_uid, owner.st_gid)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        directory = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise IdentityError(f"{path} cannot be written: {error.strerror}") from None
    return path
