"""WADO-RS: what is held here, whole or in parts (PS3.18 section 10.4)."""

import asyncio
from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from services.api.dependencies import RuntimeDep
from services.api.dicomweb import answers, media, pictures, rights
from services.api.dicomweb.attributes import Json, put
from services.api.dicomweb.frames import numbers
from services.api.dicomweb.headers import metadata
from services.api.dicomweb.retrieving import instances

router = APIRouter(default_response_class=Response)

_STUDY = "/studies/{study}"
_SERIES = _STUDY + "/series/{series}"
_INSTANCE = _SERIES + "/instances/{instance}"
_METADATA = [{"00080016": {"vr": "UI", "Value": ["1.2.840.10008.5.1.4.1.1.2"]}}]
_FILES: dict[str, Any] = {
    "responses": answers.described("(bytes)", 404, 406, 410, kind=media.MULTIPART)
}
_FRAMES: dict[str, Any] = {
    "responses": answers.described("(bytes)", 400, 404, 406, 410, kind=media.MULTIPART)
}
_HEADERS: dict[str, Any] = {"responses": answers.described(_METADATA, 404, 406, 410)}


@router.get(_STUDY, **_FILES)
async def retrieve_study(study: str, request: Request, runtime: RuntimeDep) -> Response:
    """Retrieve the files of a study."""
    return await _files(request, runtime, study)


@router.get(_SERIES, **_FILES)
async def retrieve_series(
    study: str, series: str, request: Request, runtime: RuntimeDep
) -> Response:
    """Retrieve the files of a series."""
    return await _files(request, runtime, study, series)


@router.get(_INSTANCE, **_FILES)
async def retrieve_instance(
    study: str, series: str, instance: str, request: Request, runtime: RuntimeDep
) -> Response:
    """Retrieve the file of an instance, its newest revision."""
    return await _files(request, runtime, study, series, instance)


@router.get(_STUDY + "/metadata", **_HEADERS)
async def retrieve_study_metadata(study: str, request: Request, runtime: RuntimeDep) -> Response:
    """Retrieve the headers of a study's instances; bulk data is named by URIs."""
    return await _metadata(request, runtime, study)


@router.get(_SERIES + "/metadata", **_HEADERS)
async def retrieve_series_metadata(
    study: str, series: str, request: Request, runtime: RuntimeDep
) -> Response:
    """Retrieve the headers of a series' instances."""
    return await _metadata(request, runtime, study, series)


@router.get(_INSTANCE + "/metadata", **_HEADERS)
async def retrieve_instance_metadata(
    study: str, series: str, instance: str, request: Request, runtime: RuntimeDep
) -> Response:
    """Retrieve the header of an instance."""
    return await _metadata(request, runtime, study, series, instance)


@router.get(_INSTANCE + "/frames/{frames}", **_FRAMES)
async def retrieve_frames(
    study: str, series: str, instance: str, frames: str, request: Request, runtime: RuntimeDep
) -> Response:
    """Retrieve frames as they are stored: `1`, or `1,2,5`."""
    wanted, takes = numbers(frames), media.wanted(request)
    (held,) = await rights.held(request, runtime, study, series, instance)
    path, url = runtime.spool.path(held.spool_key), held.url(answers.root_of(request))
    return await asyncio.to_thread(pictures.frame_list, path, wanted, takes, url)


@router.get(_INSTANCE + "/bulkdata/{where:path}", **_FILES)
async def retrieve_bulk_data(
    study: str, series: str, instance: str, where: str, request: Request, runtime: RuntimeDep
) -> Response:
    """Retrieve a value that the metadata names by its URI."""
    takes = media.wanted(request)
    (held,) = await rights.held(request, runtime, study, series, instance)
    path, url = runtime.spool.path(held.spool_key), held.url(answers.root_of(request))
    return await asyncio.to_thread(pictures.bulk, path, where, takes, url)


async def _files(request: Request, runtime: RuntimeDep, *uids: str) -> Response:
    takes, root = media.wanted(request), answers.root_of(request)
    held, gone = await rights.held_and_gone(request, runtime, *uids)
    return _partial(await instances(runtime.spool, held, takes, root), gone, root)


def _partial(answer: Response, gone: int, root: str) -> Response:
    """Say that an answer lacks what was removed: 206 (PS3.18 8.5), and how many."""
    if gone:
        answer.status_code = 206
        answer.headers.update(
            answers.warning([f"{gone} instances were removed and are not in this answer."], root)
        )
    return answer


async def _metadata(request: Request, runtime: RuntimeDep, *uids: str) -> Response:
    kind, root = answers.kind_of(request), answers.root_of(request)
    held, gone = await rights.held_and_gone(request, runtime, *uids)

    def described() -> Iterator[Json]:
        for one in held:
            url = f"{one.url(root)}/bulkdata"
            found = metadata(runtime.spool.path(one.spool_key), url)
            put(found, "AvailableTransferSyntaxUID", one.syntax)
            yield found

    # The first one now: what is wrong with the disk is still an answer then.
    stream = described()
    first = await asyncio.to_thread(next, stream)

    def with_first() -> Iterator[Json]:
        yield first
        yield from stream

    return _partial(answers.data_sets(with_first(), kind), gone, root)
