"""What a webhook knows Sluse by: HMAC-SHA256 over the moment and the body."""

import hashlib
import hmac

PREFIX = "whsec_"
"""By which scanners recognise a secret that has leaked."""


def signature(secret: str, moment: int, body: bytes) -> str:
    """The value of the header `Sluse-Signature`; `moment` in seconds since 1970."""
    signed = f"{moment}.".encode() + body
    return f"t={moment},v1={hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()}"
