"""Pictures as HTTP answers, and the one renderer of the application."""

import hashlib
from typing import Annotated, NamedTuple

from fastapi import Depends, Request
from starlette.responses import Response

from services.api.problems import ProblemError
from services.api.rendering.choosing import Choices
from services.api.rendering.placeholders import placeholder
from services.api.rendering.renderer import Renderer, Source
from services.api.rendering.wishes import Failure, Wish
from shared.runtime import Runtime

_EDITION = 1  # rises when the same wish comes to look different


class Drawing(NamedTuple):
    """What draws pictures, and chooses what of."""

    renderer: Renderer
    choices: Choices


def drawing_of(runtime: Runtime) -> Drawing:
    """As `runtime` is set up; no process is started before there is something to draw."""
    return Drawing(Renderer(runtime.settings), Choices(runtime.ledger, runtime.spool))


def _drawing(request: Request) -> Drawing:
    found: Drawing = request.app.state.drawing
    return found


DrawingDep = Annotated[Drawing, Depends(_drawing)]


def tag_of(source: Source, wish: Wish) -> str:
    """The `ETag` of a picture: equal as long as file and wish are."""
    text = repr((_EDITION, source.instance_id, source.revision, wish))
    return f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'


def has_already(request: Request, tag: str) -> bool:
    """Whether the client has the picture of this tag (RFC 9110 13.1.2)."""
    known = request.headers.get("if-none-match", "")
    return tag in [one.strip().removeprefix("W/") for one in known[:4096].split(",")]


def unchanged(tag: str) -> Response:
    """The answer to a client that has it already."""
    return Response(status_code=304, headers={"ETag": tag, "Vary": "Accept"})


def picture(content: bytes, media: str, tag: str, headers: dict[str, str]) -> Response:
    """A picture."""
    return Response(content, 200, {"ETag": tag, "Vary": "Accept"} | headers, media)


def instead(failure: Failure, modality: str, size: tuple[int, int], media: str) -> Response:
    """A placeholder; without a tag: next time there may be a picture."""
    if failure is Failure.BUSY:
        raise busy()
    return Response(placeholder(failure, modality, size, media), media_type=media)


def busy() -> ProblemError:
    """A 503 problem."""
    return ProblemError(503, "Too much is being drawn at this moment. Try again later.")
