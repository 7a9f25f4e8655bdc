"""What endpoints get from the application."""

import re
from typing import Annotated

from fastapi import Depends, Path, Request
from pydantic import BeforeValidator

from shared.runtime import Runtime


def _runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime


RuntimeDep = Annotated[Runtime, Depends(_runtime)]

ROW_ID = "[0-9]{1,19}"
"""How an internal number is written: in this way only, for rights are looked up by it."""


def _written_well(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(ROW_ID, value) is None:
        raise ValueError("a number, please: digits only")
    return value


PathId = Annotated[int, BeforeValidator(_written_well), Path(ge=1, le=2**63 - 1)]
