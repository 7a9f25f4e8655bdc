"""What the routes of the REST API have in common: versions, and keys of what is done once."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute

from services.api.repeating import HEADER, READING, once
from services.api.rights.deciding import decide, person_of_request
from services.api.versions import Edited, version_of_answer


class _Route(APIRoute):
    """A route of the REST API."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Handle a request: once where it has a key; the answer with its version."""
        handle = super().get_route_handler()
        model = self.response_model
        is_edited = isinstance(model, type) and issubclass(model, Edited)

        async def versioned(request: Request) -> Response:
            answer: Response = await handle(request)
            if is_edited and answer.body:
                answer.headers["etag"] = version_of_answer(model, bytes(answer.body))
            return answer

        async def answered(request: Request) -> Response:
            has_key = request.method == "POST" and HEADER in request.headers
            if not has_key or self.name in READING:
                return await versioned(request)
            await decide(request)
            return await once(request, person_of_request(request), versioned)

        return answered


def resource(prefix: str, *tags: str, **options: Any) -> APIRouter:
    """A router for a resource of the REST API."""
    return APIRouter(prefix=prefix, tags=list(tags), route_class=_Route, **options)
