"""What endpoints get from the application."""

from typing import Annotated

from fastapi import Depends, Path, Request

from shared.runtime import Runtime


def _runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime


RuntimeDep = Annotated[Runtime, Depends(_runtime)]

PathId = Annotated[int, Path(ge=1, le=2**63 - 1)]
