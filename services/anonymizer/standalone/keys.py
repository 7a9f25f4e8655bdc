"""A project's key in a file: 32 random bytes, written as 64 hexadecimal digits."""

import re
from pathlib import Path

from services.anonymizer.standalone.files import private_text
from shared.identity import KEY_BYTES, new_project_key

_KEY = re.compile(rf"[0-9a-fA-F]{{{2 * KEY_BYTES}}}")


class KeyFileError(ValueError):
    """The key file can't be used; the text says why, and nothing of what is in it."""


def read_key(path: Path) -> bytes:
    """Read the key in `path`.

    Raises
    ------
    KeyFileError
        The file can't be read, or holds no key.
    """
    try:
        with path.open("rb") as file:
            text = file.read(1024).decode("ascii").strip()
    except OSError as error:
        raise KeyFileError(f"the key file {path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        text = ""
    if _KEY.fullmatch(text) is None:
        raise KeyFileError(
            f"{path} holds no key: a key file has {2 * KEY_BYTES} hexadecimal digits, nothing else"
        )
    return bytes.fromhex(text)


def make_key(path: Path) -> bytes:
    """Write a fresh key into the new file `path` that only its owner can read (mode 0600).

    Raises
    ------
    KeyFileError
        The file exists already, or can't be written.
    """
    key = new_project_key()
    try:
        with private_text(path) as file:
            file.write(key.hex() + "\n")
    except FileExistsError:
        raise KeyFileError(f"the key file {path} exists already and is not replaced") from None
    except OSError as error:
        raise KeyFileError(f"the key file {path} can't be made: {error.strerror}") from None
    return key
