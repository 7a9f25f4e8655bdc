"""A client of Sluse's REST API, typed, made from the API's own description.

`models.py` and `operations.py` are generated (`make client`); the rest is written by hand.
"""

from sluse_client import models
from sluse_client.client import Client
from sluse_client.transport import (
    ApiProblem,
    FieldError,
    SluseError,
    UnexpectedAnswerError,
    UnreachableError,
    every,
)

__all__ = [
    "ApiProblem",
    "Client",
    "FieldError",
    "SluseError",
    "UnexpectedAnswerError",
    "UnreachableError",
    "every",
    "models",
]
