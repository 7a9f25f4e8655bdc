"""Passwords and tokens of people, as they are kept."""

import asyncio
import hashlib
import secrets
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST_PASSWORD = 12  # characters; NIST SP 800-63B 3.1.1.2 wants 8 at least
LONGEST_PASSWORD = 256
_TOKEN_BYTES = 32

_hasher = PasswordHasher()  # RFC 9106's second choice: 64 MiB, three passes
# Each takes 64 MiB: no more than these at once, however many knock.
_threads = ThreadPoolExecutor(4, thread_name_prefix="passwords")
_NOBODY = _hasher.hash(secrets.token_urlsafe())


async def hashed(password: str) -> str:
    """What is kept of a password (Argon2id, RFC 9106)."""
    return await asyncio.get_running_loop().run_in_executor(_threads, _hasher.hash, password)


async def fits(password: str, kept: str) -> bool:
    """Whether it is the password that `kept` was made of.

    It takes as long where nothing is kept, so that nobody learns which names there are.
    """
    loop = asyncio.get_running_loop()
    right = await loop.run_in_executor(_threads, _verify, password, kept or _NOBODY)
    return right and bool(kept)


def _verify(password: str, kept: str) -> bool:
    try:
        return _hasher.verify(kept, password)
    except (VerificationError, InvalidHashError):
        return False


def new_secret() -> str:
    """A secret that nobody can guess: 256 bits, as text."""
    return secrets.token_urlsafe(_TOKEN_BYTES)


def digest(secret: str) -> str:
    """What is kept of such a secret. It needs no salt, nor to be slow: it can't be guessed."""
    return hashlib.sha256(secret.encode()).hexdigest()
