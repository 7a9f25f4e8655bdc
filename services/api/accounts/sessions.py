"""Browsers in which somebody is signed in: a signed cookie, and a row that can be taken away."""

from datetime import timedelta

from itsdangerous import BadSignature, URLSafeTimedSerializer
from sqlalchemy import delete, insert, select, update
from starlette.requests import Request
from starlette.responses import Response

from services.api.accounts.hashing import digest, new_secret
from shared.clock import now
from shared.identity import MasterKey
from shared.ledger import Connection
from shared.ledger.tables import Account, WebSession, core

COOKIE = "sluse_session"
_LONGEST = timedelta(hours=12)
"""After that the person signs in again, whatever they do."""
_IDLE = timedelta(hours=1)
_NOTED_EVERY = timedelta(minutes=1)

_session, _account = core(WebSession), core(Account)


class Signer:
    """Signs what cookies hold, with a key that comes from the master key."""

    def __init__(self, master_key: MasterKey) -> None:
        self._cookies = URLSafeTimedSerializer(master_key.index("purpose", "session cookies"))
        self._forms = URLSafeTimedSerializer(master_key.index("purpose", "forms"))

    def sign(self, secret: str) -> str:
        """What the cookie of a session holds."""
        return self._cookies.dumps(secret)

    def secret_of(self, request: Request) -> str | None:
        """The session's secret; None without a cookie that Sluse has made."""
        try:
            secret = self._cookies.loads(
                request.cookies.get(COOKIE, ""), max_age=int(_LONGEST.total_seconds())
            )
        except BadSignature:
            return None
        return secret if isinstance(secret, str) else None

    def form_token(self, secret: str) -> str:
        """What a form of this session must send back, so that no other site can send one."""
        return self._forms.dumps(digest(f"form {secret}"))

    def is_form_token(self, token: str, secret: str) -> bool:
        """Whether a form that sends `token` is one of this session's."""
        try:
            return bool(self._forms.loads(token) == digest(f"form {secret}"))
        except BadSignature:
            return False


async def begin(connection: Connection, account_id: int) -> str:
    """Sign a person in, in one browser; the session's secret. Sessions that are over go."""
    await connection.execute(
        delete(_session).where(
            (_session.c.created_at < now() - _LONGEST) | (_session.c.seen_at < now() - _IDLE)
        )
    )
    secret = new_secret()
    moment = now()
    await connection.execute(
        insert(_session).values(
            secret_hash=digest(secret), account_id=account_id, created_at=moment, seen_at=moment
        )
    )
    await connection.execute(
        update(_account).where(_account.c.id == account_id).values(signed_in_at=moment)
    )
    return secret


async def account_of(connection: Connection, secret: str) -> tuple[int, bool] | None:
    """Whose session it is, and whether it is time to note that it is used; None when it is over."""
    row = (
        await connection.execute(
            select(_session.c.account_id, _session.c.created_at, _session.c.seen_at).where(
                _session.c.secret_hash == digest(secret)
            )
        )
    ).first()
    moment = now()
    if row is None or row.created_at < moment - _LONGEST or row.seen_at < moment - _IDLE:
        return None
    return row.account_id, row.seen_at < moment - _NOTED_EVERY


async def note_use(connection: Connection, secret: str) -> None:
    """The session is used."""
    await connection.execute(
        update(_session).where(_session.c.secret_hash == digest(secret)).values(seen_at=now())
    )


async def end(connection: Connection, secret: str) -> None:
    """Sign out in one browser."""
    await connection.execute(delete(_session).where(_session.c.secret_hash == digest(secret)))


async def end_all(connection: Connection, account_id: int) -> None:
    """Sign a person out everywhere."""
    await connection.execute(delete(_session).where(_session.c.account_id == account_id))


def give(response: Response, cookie: str, *, secure: bool) -> None:
    """Put a session's cookie into the browser."""
    response.set_cookie(
        COOKIE, cookie, max_age=int(_LONGEST.total_seconds()), httponly=True, secure=secure,
        samesite="lax", path="/",
    )  # fmt: skip


def take(response: Response) -> None:
    """Take it out again."""
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="lax")
