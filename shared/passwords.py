"""Passwords that are kept as hashes (RFC 7914)."""

import base64
import hashlib
import hmac
import os

_N, _R, _P = 1 << 14, 8, 1  # 16 MB and some 50 ms


def hashed(password: bytes) -> str:
    """What is kept of a password."""
    salt = os.urandom(16)
    return f"scrypt${_text(salt)}${_text(_derived(password, salt))}"


def fits(password: bytes, kept: str) -> bool:
    """Whether it is the password that `kept` was made of."""
    kind, salt, wanted = kept.split("$")
    if kind != "scrypt":
        raise ValueError("not a hashed password")
    return hmac.compare_digest(_derived(password, base64.b64decode(salt)), base64.b64decode(wanted))


def _derived(password: bytes, salt: bytes) -> bytes:
    return hashlib.scrypt(password, salt=salt, n=_N, r=_R, p=_P)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
