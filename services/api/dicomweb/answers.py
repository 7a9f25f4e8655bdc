"""Answers in the DICOM JSON Model, or as XML where that is asked for."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from services.api.dicomweb import media
from services.api.dicomweb.attributes import Json
from services.api.dicomweb.bodies import Part, multipart
from services.api.dicomweb.media import Wanted
from services.api.dicomweb.native import to_xml
from services.api.guards import DICOMWEB
from services.api.problems import responses

_KINDS = [media.JSON, "application/json", media.XML]


def root_of(request: Request) -> str:
    """The URL of the service, as the client reached it."""
    base = request.base_url
    server = request.scope.get("server")
    if base.port is None and server is not None and server[1]:
        # Some clients (dicomweb-client) leave the port out of the Host header.
        base = base.replace(port=server[1])
    return f"{str(base).rstrip('/')}{DICOMWEB}"


def kind_of(request: Request) -> str:
    """JSON or XML, as the client likes it better; a 406 problem where it takes neither."""
    takes: Sequence[Wanted] = media.wanted(request)
    return media.choose(takes, _KINDS)[1]


def data_set(found: Json, kind: str, status: int) -> Response:
    """One data set."""
    if kind == media.XML:
        return Response(to_xml(found), status, media_type=kind)
    return Response(_text(found), status, media_type=kind)


def data_sets(found: Iterable[Json], kind: str, headers: dict[str, str] | None = None) -> Response:
    """Data sets, written while they are sent: a JSON array, or parts of XML."""
    if kind == media.XML:
        parts = [Part(kind, "", [to_xml(one)]) for one in found]
        answer = multipart(kind, parts)
    else:
        answer = StreamingResponse(_array(found), media_type=kind)
    answer.headers.update(headers or {})
    return answer


def warning(texts: Iterable[str], root: str) -> dict[str, str]:
    """The `Warning` header of a search (PS3.18 8.3.4.2), empty where all was done as asked."""
    values = [f'299 {root}: "{text}"' for text in dict.fromkeys(texts)]
    return {"Warning": ", ".join(values)} if values else {}


def described(example: Any, *statuses: int, kind: str = media.JSON) -> dict[int | str, Any]:
    """The OpenAPI description of an answer and of the problems instead of it."""
    schema = {"type": "string", "format": "binary"} if kind != media.JSON else {}
    content = {kind: {"schema": schema | {"example": example}}}
    return {200: {"description": "Found", "content": content}} | responses(*statuses)


def _array(found: Iterable[Json]) -> Iterator[bytes]:
    before = b"["
    for one in found:
        yield before + _text(one)
        before = b","
    yield b"]" if before == b"," else b"[]"


def _text(found: Any) -> bytes:
    return json.dumps(found, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode(
        "utf-8", "replace"
    )
