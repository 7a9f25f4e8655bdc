"""What the Python client makes of answers, and of none."""

import io
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from sluse_client import (
    ApiProblem,
    Client,
    UnexpectedAnswerError,
    UnreachableError,
    every,
    models,
)
from sluse_client.transport import quoted

_PEER = {
    "id": 1, "name": "CT", "calling_aet": "CT1", "addresses": "", "username": None,
    "report_host": "", "report_port": None, "enabled": True, "priority": "normal",
}  # fmt: skip
_PROBLEM = {
    "title": "The request breaks a rule.", "status": 422,
    "errors": [{"field": "name", "message": "This is missing."}], "report": {"rows": 3},
}  # fmt: skip
Handler = Callable[[httpx.Request], httpx.Response]


class Made:
    """A client whose other side is a function."""

    def __init__(self, handler: Handler) -> None:
        self.asked: list[httpx.Request] = []
        self.slept: list[float] = []

        def handle(request: httpx.Request) -> httpx.Response:
            self.asked.append(request)
            return handler(request)

        self.client = Client(
            "http://sluse.test/", "secret", http=httpx.MockTransport(handle),
            sleep=self.slept.append,
        )  # fmt: skip


def _answers(*answers: httpx.Response) -> Made:
    left = list(answers)
    return Made(lambda _: left.pop(0))


def _json(body: Any, status: int = 200, **headers: str) -> httpx.Response:
    return httpx.Response(status, json=body, headers=headers)


def _away(status: int = 503, wait: str = "7") -> httpx.Response:
    headers = {"retry-after": wait}
    return httpx.Response(status, json={"title": "Away.", "status": status}, headers=headers)


def test_an_answer_is_a_model_and_the_token_is_shown() -> None:
    made = _answers(_json([_PEER]))
    [peer] = made.client.list_peers()
    assert isinstance(peer, models.PeerRead)
    assert peer.calling_aet == "CT1"
    assert made.asked[0].headers["authorization"] == "Bearer secret"
    assert str(made.asked[0].url) == "http://sluse.test/api/v1/peers"


def test_a_body_says_what_was_given_and_each_post_has_a_key_of_its_own() -> None:
    made = _answers(_json(_PEER, 201), _json(_PEER, 201))
    for _ in range(2):
        made.client.create_peer(models.PeerWrite(name="CT", calling_aet="CT1"))
    assert json.loads(made.asked[0].content) == {"name": "CT", "calling_aet": "CT1"}
    assert made.asked[0].headers["content-type"] == "application/json"
    first, second = (one.headers["idempotency-key"] for one in made.asked)
    assert first != second


def test_queries_say_only_what_was_given() -> None:
    made = _answers(_json({"items": [], "next": None}))
    made.client.list_studies(unassigned=False, project="BICAM")
    query = dict(made.asked[0].url.params)
    assert query == {"unassigned": "false", "project": "BICAM", "limit": "50"}


def test_a_problem_names_the_fields() -> None:
    made = _answers(_json(_PROBLEM, 422))
    with pytest.raises(ApiProblem) as caught:
        made.client.create_peer(models.PeerWrite(name=""))
    problem = caught.value
    assert (problem.status, problem.title) == (422, "The request breaks a rule.")
    assert [(one.field, one.message) for one in problem.errors] == [("name", "This is missing.")]
    assert "name: This is missing." in str(problem)
    assert problem.more == {"report": {"rows": 3}}


def test_reading_waits_as_long_as_it_is_asked_to() -> None:
    made = _answers(_away(wait="7"), _away(wait="9999"), _json([_PEER]))
    assert made.client.list_peers()
    assert made.slept == [7.0, 60.0]


def test_reading_does_not_wait_for_ever() -> None:
    made = Made(lambda _: _away())
    with pytest.raises(ApiProblem, match="Away"):
        made.client.list_peers()
    assert len(made.asked) == 4
    assert len(made.slept) == 3


def test_a_post_is_repeated_with_its_key() -> None:
    made = _answers(_away(), _json(_PEER, 201))
    made.client.create_peer(models.PeerWrite(name="CT", calling_aet="CT1"))
    first, second = made.asked
    assert first.headers["idempotency-key"] == second.headers["idempotency-key"]
    assert first.content == second.content


def test_nothing_else_is_repeated() -> None:
    made = Made(lambda _: _away())
    with pytest.raises(ApiProblem):
        made.client.remove_peer(1)
    assert len(made.asked) == 1
    assert not made.slept


def test_a_version_goes_back_with_the_change() -> None:
    made = _answers(
        httpx.Response(200, json=_PEER, headers={"etag": '"a1"'}),
        httpx.Response(200, json=_PEER, headers={"etag": '"b2"'}),
    )
    peer = made.client.read_peer(1)
    assert peer.etag == '"a1"'
    write = models.PeerWrite(name="CT", calling_aet="CT1")
    assert made.client.change_peer(1, write, if_match=peer.etag).etag == '"b2"'
    assert made.asked[1].headers["if-match"] == '"a1"'


@pytest.mark.parametrize(
    ("error", "words"),
    [(httpx.ConnectError("refused"), "can't be reached"), (httpx.ReadTimeout(""), "in time")],
)
def test_an_unreachable_server_is_said_in_words(error: Exception, words: str) -> None:
    def fail(_: httpx.Request) -> httpx.Response:
        raise error

    with pytest.raises(UnreachableError, match=words):
        Made(fail).client.list_peers()


@pytest.mark.parametrize("url", ["sluse.local", "http://[", "ftp://sluse", "http://sluse:port"])
def test_what_is_no_address_is_said_in_words(url: str) -> None:
    with pytest.raises(UnreachableError):
        Client(url).list_peers()


def test_a_file_of_certificates_that_is_not_there(tmp_path: Any) -> None:
    with pytest.raises(UnreachableError, match="certificates"):
        Client("https://sluse", ca_file=str(tmp_path / "none"))


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(502, html="<h1>Bad gateway</h1>"),
        httpx.Response(307, headers={"location": "http://elsewhere.test/"}),
        httpx.Response(200, html="<h1>Welcome</h1>"),
        httpx.Response(200, json=[{"patient": "PHANTOM^ANNA"}]),
        httpx.Response(500, json=["?"]),
    ],
)
def test_what_is_not_sluse_is_told_apart(answer: httpx.Response) -> None:
    made = _answers(answer)
    with pytest.raises(UnexpectedAnswerError) as caught:
        made.client.list_peers()
    assert "PHANTOM" not in str(caught.value)


def test_pages_are_read_one_after_the_other() -> None:
    letter = {
        "queue": "q", "reason": "", "detail": "", "body": "", "died_at": "2026-01-01T00:00Z",
        "transfer_id": None, "state": "open", "settled_at": None, "settled_by": "",
        "settled_why": "",
    }  # fmt: skip
    pages = {
        None: {"items": [letter | {"id": 3}, letter | {"id": 2}], "next": 2},
        "2": {"items": [], "next": 1},
        "1": {"items": [letter | {"id": 1}], "next": None},
    }
    made = Made(lambda request: _json(pages[request.url.params.get("after")]))
    assert [one.id for one in every(made.client.list_dead_letters)] == [3, 2, 1]
    made.asked.clear()
    assert [one.id for one in every(made.client.list_dead_letters, most=2)] == [3, 2]
    assert len(made.asked) == 1


@pytest.mark.parametrize("value", ["a/b", "..", "a?b", "å"])
def test_a_path_leads_nowhere_else(value: str) -> None:
    made = _answers(_json({"title": "None.", "status": 404}, 404))
    with pytest.raises(ApiProblem):
        made.client.read_project(value)
    assert made.asked[0].url.raw_path == f"/api/v1/projects/{quoted(value)}".encode()
    assert "/" not in quoted(value)


class Store:
    """The server's side of one file; `trouble` answers instead, once each."""

    def __init__(self, *trouble: httpx.Response | Exception | int) -> None:
        self.content, self.trouble = b"", list(trouble)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.method == "PATCH":
            assert int(request.headers["upload-offset"]) == len(self.content)
            trouble = self.trouble.pop(0) if self.trouble else None
            if isinstance(trouble, Exception):
                raise trouble
            if isinstance(trouble, int):  # as much of it came, then the line broke
                self.content += request.content[:trouble]
                raise httpx.ReadError("broken")
            if trouble is not None:
                return trouble
            self.content += request.content
        return httpx.Response(204, headers={"upload-offset": str(len(self.content))})


def _sent(store: Store, size: int = 10) -> tuple[Made, list[int]]:
    made, told = Made(store), []
    content = io.BytesIO(bytes(range(size)))
    made.client.send_file(1, 2, content, size, max_chunk=4, told=told.append)
    return made, told


@pytest.mark.parametrize(
    "trouble", [(), (_away(423),), (_away(), _away()), (httpx.ConnectError("no"),), (2,), (1, 3)]
)
def test_a_file_arrives_whatever_happens_on_the_way(trouble: Any) -> None:
    store = Store(*trouble)
    made, told = _sent(store)
    assert store.content == bytes(range(10))
    assert sum(told) == 10
    assert len(made.slept) == len(trouble)
    pieces = [one for one in made.asked if one.method == "PATCH"]
    assert {one.headers["content-type"] for one in pieces} == {"application/offset+octet-stream"}


def test_a_file_goes_on_where_the_server_says() -> None:
    store = Store()

    def handle(request: httpx.Request) -> httpx.Response:
        if not store.content:  # somebody else has sent a part meanwhile
            store.content = bytes(range(7))
            body = {"title": "Elsewhere.", "status": 409}
            return httpx.Response(409, json=body, headers={"upload-offset": "7"})
        return store(request)

    made = Made(handle)
    made.client.send_file(1, 2, io.BytesIO(bytes(range(10))), 10, max_chunk=4)
    assert store.content == bytes(range(10))


@pytest.mark.parametrize("status", [400, 404, 409, 507])
def test_what_waiting_does_not_mend_is_raised_at_once(status: int) -> None:
    with pytest.raises(ApiProblem):
        _sent(Store(_away(status)))


def test_sending_is_given_up_in_the_end() -> None:
    made = Made(lambda _: _away())
    with pytest.raises(ApiProblem):
        made.client.send_file(1, 2, io.BytesIO(b"ab"), 2, max_chunk=4)
    assert len(made.asked) == 9


def test_a_file_that_shrinks_is_not_sent_for_ever() -> None:
    with pytest.raises(Exception, match="shorter"):
        Made(Store()).client.send_file(1, 2, io.BytesIO(b"ab"), 9, max_chunk=4)
