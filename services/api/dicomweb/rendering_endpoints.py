"""WADO-RS: pictures of what is held here (PS3.18 10.4.1.1.3 and 10.4.1.1.4)."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.api.dependencies import RuntimeDep
from services.api.dicomweb import answers, media, rendered_query, rights
from services.api.dicomweb.bodies import Part, multipart
from services.api.dicomweb.frames import numbers
from services.api.dicomweb.holding import Held, representative
from services.api.dicomweb.media import not_acceptable
from services.api.problems import ProblemError, not_found
from services.api.rendering import answers as pictures
from services.api.rendering.answers import Drawing, DrawingDep
from services.api.rendering.renderer import Source
from services.api.rendering.wishes import JPEG, PNG, Failure, Wish
from shared.errors import Reason, Retry
from shared.runtime import Runtime

router = APIRouter(default_response_class=Response)

_STUDY = "/studies/{study}"
_SERIES = _STUDY + "/series/{series}"
_INSTANCE = _SERIES + "/instances/{instance}"
_FRAMES = _INSTANCE + "/frames/{frames}"
_MEDIA = (JPEG, PNG)
_MOST_FRAMES = 64  # of one request
_MOST_BYTES = 128 << 20  # of its pictures, which are in memory together
_PICTURE: dict[str, Any] = {
    "responses": answers.described("(bytes)", 400, 404, 406, 410, kind=JPEG)
    | {304: {"description": "The client has it already"}}
}


@router.get(_INSTANCE + "/rendered", **_PICTURE)
async def retrieve_rendered(
    study: str, series: str, instance: str,
    request: Request, runtime: RuntimeDep, drawing: DrawingDep,
) -> Response:  # fmt: skip
    """Draw an instance; of several frames the one in the middle."""
    return await _rendered(request, runtime, drawing, (study, series, instance), [None])


@router.get(_FRAMES + "/rendered", **_PICTURE)
async def retrieve_rendered_frames(
    study: str, series: str, instance: str, frames: str,
    request: Request, runtime: RuntimeDep, drawing: DrawingDep,
) -> Response:  # fmt: skip
    """Draw frames: `1`, or `1,2,5` as parts of one answer."""
    wanted = _frames(frames)
    return await _rendered(request, runtime, drawing, (study, series, instance), wanted)


@router.get(_STUDY + "/thumbnail", **_PICTURE)
async def retrieve_study_thumbnail(
    study: str, request: Request, runtime: RuntimeDep, drawing: DrawingDep
) -> Response:
    """Draw what stands for a study: the middle of its largest series of images."""
    return await _thumbnail(request, runtime, drawing, study)


@router.get(_SERIES + "/thumbnail", **_PICTURE)
async def retrieve_series_thumbnail(
    study: str, series: str, request: Request, runtime: RuntimeDep, drawing: DrawingDep
) -> Response:
    """Draw the image in the middle of a series."""
    return await _thumbnail(request, runtime, drawing, study, series)


@router.get(_INSTANCE + "/thumbnail", **_PICTURE)
async def retrieve_instance_thumbnail(
    study: str, series: str, instance: str,
    request: Request, runtime: RuntimeDep, drawing: DrawingDep,
) -> Response:  # fmt: skip
    """Draw an instance, small; a placeholder where it is no image."""
    return await _thumbnail(request, runtime, drawing, study, series, instance)


@router.get(_FRAMES + "/thumbnail", **_PICTURE)
async def retrieve_frame_thumbnail(
    study: str, series: str, instance: str, frames: str,
    request: Request, runtime: RuntimeDep, drawing: DrawingDep,
) -> Response:  # fmt: skip
    """Draw a frame, small; of several the first."""
    frame = _frames(frames)[0]
    return await _thumbnail(request, runtime, drawing, study, series, instance, frame=frame)


def _frames(text: str) -> list[int]:
    found = numbers(text)
    if len(found) > _MOST_FRAMES:
        raise ProblemError(400, f"At most {_MOST_FRAMES} frames at once, please.")
    if 0 in found:
        raise not_found("frame")
    return found


async def _rendered(
    request: Request, runtime: Runtime, drawing: Drawing, uids: tuple[str, str, str], frames: Any
) -> Response:
    """Pictures, each as the client wants it: one as the body itself, several in parts."""
    wish, warnings = rendered_query.rendered(request.query_params)
    takes = [one for one in media.wanted(request) if not one.single or len(frames) == 1]
    chosen, kind = media.choose(takes, _MEDIA)
    (held,) = await rights.held(request, runtime, *uids)
    source, root = _source(runtime, held), answers.root_of(request)
    wishes = [wish._replace(media=kind, frame=frame) for frame in frames]
    tag = pictures.tag_of(source, wishes[0])
    single = len(frames) == 1 and (chosen.single or chosen.media == media.ANY)
    if single and pictures.has_already(request, tag):
        return pictures.unchanged(tag)
    drawn = await _drawn(drawing, source, wishes)
    headers = answers.warning(warnings, root)
    if single:
        location = {"Content-Location": _location(held, root, wishes[0])}
        return pictures.picture(drawn[0], kind, tag, headers | location)
    parts = [
        Part(kind, _location(held, root, one), [content], len(content))
        for one, content in zip(wishes, drawn, strict=True)
    ]
    answer = multipart(kind, parts)
    answer.headers.update(headers)
    return answer


async def _thumbnail(
    request: Request, runtime: Runtime, drawing: Drawing,
    study: str, series: str | None = None, instance: str | None = None, *, frame: int | None = None,
) -> Response:  # fmt: skip
    asked = rendered_query.thumbnail(request.query_params)
    takes = [one for one in media.wanted(request) if one.single or one.media == media.ANY]
    _, kind = media.choose(takes, _MEDIA)
    if instance is None:
        async with runtime.ledger.reading() as connection:
            seen = await rights.seen(request, runtime, connection)
        held = await representative(runtime.ledger, seen, drawing.choices, study, series)
        await rights.note(request, runtime, {held.study_id})
    else:
        (held,) = await rights.held(request, runtime, study, series or "", instance)
    source, wish = _source(runtime, held), asked.wish._replace(media=kind, frame=frame)
    tag = pictures.tag_of(source, wish)
    if pictures.has_already(request, tag):
        return pictures.unchanged(tag)
    outcome = await drawing.renderer.picture(source, wish)
    if isinstance(outcome, Failure) and outcome in (Failure.NO_PICTURE, Failure.UNDECODABLE):
        size = wish.fit or (0, 0)
        return pictures.instead(outcome, held.modality, size, kind)
    return pictures.picture(_content(outcome), kind, tag, {})


def _source(runtime: Runtime, held: Held) -> Source:
    return Source(held.id, held.revision, runtime.spool.path(held.spool_key))


def _location(held: Held, root: str, wish: Wish) -> str:
    frame = f"/frames/{wish.frame}" if wish.frame else ""
    return f"{held.url(root)}{frame}/rendered"


async def _drawn(drawing: Drawing, source: Source, wishes: list[Wish]) -> list[bytes]:
    found: list[bytes] = []
    for wish in wishes:
        found.append(_content(await drawing.renderer.picture(source, wish)))
        if sum(map(len, found)) > _MOST_BYTES:
            raise ProblemError(400, "That is too much at once: ask for fewer frames.")
    return found


def _content(outcome: bytes | Failure) -> bytes:
    """A picture; a problem where there is none."""
    if isinstance(outcome, bytes):
        return outcome
    if outcome is Failure.BUSY:
        raise pictures.busy()
    if outcome is Failure.MISSING:
        raise Retry(Reason.SPOOL_FILE_MISSING)
    if outcome is Failure.NO_FRAME:
        raise not_found("frame")
    if outcome is Failure.OUTSIDE:
        raise ProblemError(400, "The viewport's region is not inside of the image.")
    if outcome is Failure.NO_PICTURE:
        raise not_acceptable("This is no image.")
    raise not_acceptable("This image can't be drawn here.")
