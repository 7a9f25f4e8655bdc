"""Tells open pages that something has changed, by server-sent events; they fetch what they show.

An event says nothing but that: what a person may see is decided where the page is fetched.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from time import monotonic

from fastapi import Request
from starlette.responses import StreamingResponse

from services.api.pipeline.service import read_ledger
from services.api.problems import ProblemError
from shared.errors import Retry
from shared.runtime import Runtime

_EVERY = 0.7  # seconds between two looks: a page shows what arrives within two seconds
_SHARE = 10  # on a large ledger, of each ten seconds one is spent looking, at most
_SIGN_OF_LIFE = 15.0  # seconds; proxies end what is silent
_LONGEST = 600.0  # seconds; then the browser comes again, and is asked again who it is
_MOST = 500  # pages at a time
_CHANGED = "event: changed\ndata: -\n\n"


class Hub:
    """Looks at the ledger for all open pages together, as long as there are any."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._pages: set[asyncio.Event] = set()
        self._looking: asyncio.Task[None] | None = None
        self._closed = False

    def close(self) -> None:
        """Let the open pages go: the server ends."""
        self._closed = True
        self._tell()
        if self._looking is not None:
            self._looking.cancel()

    async def listen(self) -> AsyncIterator[str]:
        """The events for one page, as text (the HTML standard, 9.2)."""
        changed = asyncio.Event()
        self._pages.add(changed)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        until = monotonic() + _LONGEST
        try:
            # What changed before the page listened, or while it did not hear anything, counts too.
            yield f"retry: 2000\n{_CHANGED}"
            while not self._closed and monotonic() < until:
                try:
                    await asyncio.wait_for(changed.wait(), _SIGN_OF_LIFE)
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                changed.clear()
                if not self._closed:
                    yield _CHANGED
        finally:
            self._pages.discard(changed)

    def has_room(self) -> bool:
        """Whether one more page may listen."""
        return len(self._pages) < _MOST and not self._closed

    def _tell(self) -> None:
        for changed in self._pages:
            changed.set()

    async def _look(self) -> None:
        before: str | None = None
        while self._pages:
            began = monotonic()
            seen = before
            with suppress(Retry):  # the database is away: nothing new is known
                seen = (await read_ledger(self._runtime.ledger, {})).model_dump_json()
            if before is not None and seen != before:
                self._tell()
            before = seen
            await asyncio.sleep(max(_EVERY, (_SHARE - 1) * (monotonic() - began)))


async def live(request: Request) -> StreamingResponse:
    """Say whenever something has changed."""
    hub: Hub = request.app.state.live
    if not hub.has_room():
        raise ProblemError(503, "Too many pages are open at this moment.")
    return StreamingResponse(
        hub.listen(), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
    )
