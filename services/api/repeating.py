"""Does a POST once, however often it is sent (`Idempotency-Key`).

A program that heard no answer can't know whether its request was done. It sends the same again with
the same key, and is told what the first was answered; nothing is done twice. Keys are remembered
for a day, each for who sent it.
"""

import hashlib
import re
import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any, NamedTuple

from fastapi import Request, Response
from sqlalchemy import delete, select, update

from services.api.problems import ProblemError, rule_broken
from services.api.rights.person import Person
from shared import telemetry
from shared.clock import now
from shared.errors import Reason, Retry
from shared.ledger import Connection
from shared.ledger.database import COMMITTING
from shared.ledger.tables import AnsweredPost, core
from shared.ledger.writing import insert_or
from shared.runtime import Runtime

HEADER = "Idempotency-Key"
REPLAYED = "Idempotent-Replayed"
KEY = r"[!-~]{1,255}"
_KEPT = timedelta(days=1)
_LEASE = timedelta(minutes=10)
"""After this nobody works any more on what has changed nothing: its process has ended."""
_DONE = 0
"""The status of what has changed something and has not been answered."""
READING = frozenset({
    "search_studies", "try_new_routing_rule", "try_changed_routing_rule", "echo_destination",
})  # fmt: skip
"""Change nothing: asked again, they look again, with the rights that somebody has then."""
_IN_PARTS = frozenset({
    "process_project_again", "apply_routing_rule", "apply_coupling_list", "upload_coupling_list",
    "resend",
})  # fmt: skip
"""Commit part after part, and go on where they were when they are asked again."""
_SECRET = frozenset({"create_token", "create_webhook"})
"""Answer with what is shown once: that is not kept."""
_AT_WORK = "The first request with this key is still worked on."
_answered = core(AnsweredPost)
log = telemetry.logger("api")


class _Claim(NamedTuple):
    """A key, and who makes use of it now."""

    who: str
    key_hash: str
    claim: str

    async def note_done(self, connection: Connection) -> None:
        """Called in each transaction that the request commits: with it, or not at all.

        Raises
        ------
        Retry
            Somebody else has taken the key over.
        """
        await connection.execute(self._mine(status=_DONE).where(_answered.c.status.is_(None)))
        held = select(_answered.c.id).filter_by(**self._asdict())
        if await connection.scalar(held) is None:
            raise Retry(Reason.DATABASE_AWAY, "key taken over")

    def answered(self, status: int, etag: str, body: str) -> Any:
        """The statement that keeps the answer."""
        return self._mine(status=status, etag=etag, body=body)

    def forgotten(self) -> Any:
        """The statement that gives the key back, where nothing was changed."""
        return delete(_answered).filter_by(**self._asdict()).where(_answered.c.status.is_(None))

    def _mine(self, **values: Any) -> Any:
        return update(_answered).filter_by(**self._asdict()).values(**values)


async def once(
    request: Request, person: Person, handle: Callable[[Request], Awaitable[Response]]
) -> Response:
    """Handle a request that has a key, or repeat the answer to an earlier one.

    Raises
    ------
    ProblemError
        422: the key is none, or was sent with something else. 409: the first request with it is
        still worked on, or was done and its answer is not known.
    """
    route = request.scope["route"].name
    key = request.headers[HEADER]
    if re.fullmatch(KEY, key) is None:
        raise rule_broken(HEADER, "A key has 1 to 255 letters, digits or signs, without blanks.")
    runtime: Runtime = request.app.state.runtime
    who = f"{person.account_id or 0} {person.token_id or 0}"
    claim = _Claim(who, _digest(key.encode()), uuid.uuid4().hex)
    fingerprint = await _fingerprint(request, runtime)
    earlier = await _take(runtime, claim, fingerprint)
    if earlier is not None:
        return await _again(runtime, earlier, fingerprint)
    try:
        noted = handle if route in _IN_PARTS else _noted(claim, handle)
        answer = await noted(request)
    except Exception:
        await _write(runtime, claim.forgotten())
        raise
    if route not in _SECRET:
        await _remember(runtime, claim, answer)
    return answer


def _noted(
    claim: _Claim, handle: Callable[[Request], Awaitable[Response]]
) -> Callable[[Request], Awaitable[Response]]:
    """The same, noting in what it commits that it was done."""

    async def noted(request: Request) -> Response:
        noting = COMMITTING.set(claim.note_done)
        try:
            return await handle(request)
        finally:
            COMMITTING.reset(noting)

    return noted


async def _fingerprint(request: Request, runtime: Runtime) -> str:
    """What tells a request from others. Bodies hold passwords and patients' ids: whoever has the
    database alone must not be able to try values out on it.
    """
    head = f"{request.method} {request.url.path}?{request.url.query}\n"
    sent = _digest(head.encode() + await request.body())
    return (await runtime.load_master_key()).index("answered post", sent)


async def _take(runtime: Runtime, claim: _Claim, fingerprint: str) -> Any | None:
    """Make a key one's own; the earlier request's row if somebody has used it."""
    async with runtime.ledger.transaction() as connection:
        made = await connection.execute(
            insert_or(connection, _answered)
            .values(**claim._asdict(), fingerprint=fingerprint, created_at=now())
            .on_conflict_do_nothing(index_elements=["who", "key_hash"])
        )
        if made.rowcount:
            return None
        mine = {"who": claim.who, "key_hash": claim.key_hash}
        taken_over = await connection.execute(
            update(_answered)
            .filter_by(**mine, fingerprint=fingerprint)
            .where(_answered.c.status.is_(None), _answered.c.created_at < now() - _LEASE)
            .values(claim=claim.claim, created_at=now())
        )
        if taken_over.rowcount:
            return None
        found = (await connection.execute(select(_answered).filter_by(**mine))).first()
    if found is None:  # refused and given back at this moment
        raise ProblemError(409, _AT_WORK)
    return found


async def sweep(connection: Connection) -> None:
    """Forget what is older than a day."""
    await connection.execute(delete(_answered).where(_answered.c.created_at < now() - _KEPT))


async def forget_person(connection: Connection, account_id: int) -> None:
    """Forget what somebody was answered who is gone."""
    await connection.execute(
        delete(_answered).where(_answered.c.who.startswith(f"{account_id} ", autoescape=True))
    )


async def _again(runtime: Runtime, earlier: Any, fingerprint: str) -> Response:
    if earlier.fingerprint != fingerprint:
        raise rule_broken(HEADER, "This key was sent with another request. Make a new one.")
    if earlier.status is None:
        raise ProblemError(409, _AT_WORK)
    if earlier.status == _DONE:
        raise ProblemError(
            409,
            "What was asked for with this key was begun or done; its answer is not there yet, "
            "lost, or shown once only. Send it again in a moment, or look at what was done.",
        )
    master_key = await runtime.load_master_key()
    headers = {REPLAYED: "true"} | ({"etag": earlier.etag} if earlier.etag else {})
    body = master_key.decrypt(earlier.body) if earlier.body else b""
    return Response(body, earlier.status, headers, "application/json" if body else None)


async def _remember(runtime: Runtime, claim: _Claim, answer: Response) -> None:
    body = bytes(answer.body)
    if answer.status_code >= 400:
        await _write(runtime, claim.forgotten())
        return
    master_key = await runtime.load_master_key()
    kept = master_key.encrypt(body) if body else ""
    etag = answer.headers.get("etag", "")
    await _write(runtime, claim.answered(answer.status_code, etag, kept))


async def _write(runtime: Runtime, statement: Any) -> None:
    try:
        async with runtime.ledger.transaction() as connection:
            await connection.execute(statement)
    except Retry as error:
        # Whoever asked is told now how it went; a later request with the key is told less.
        log.warning("key not settled", reason=error.reason)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
