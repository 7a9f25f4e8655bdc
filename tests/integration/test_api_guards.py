"""What the API keeps out, how it says no, and how it is documented."""

from collections.abc import AsyncIterator, MutableMapping
from typing import Any

import httpx
import pytest
import structlog

from services.api.app import create_app
from shared.errors import Reason, Retry
from shared.runtime import Runtime
from tests.integration.test_api_fixtures import Api

pytest_plugins = ["tests.integration.test_api_fixtures"]


@pytest.mark.parametrize("length", [None, 2 << 20], ids=["chunked", "announced"])
async def test_an_endless_body_is_refused(client: httpx.AsyncClient, length: int | None) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(32):
            yield b" " * (1 << 16)

    headers = {"content-type": "application/json"}
    if length is not None:
        headers["content-length"] = str(length)
    answer = await client.post("/api/v1/projects", content=endless(), headers=headers)
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"


async def test_other_sites_are_kept_out(client: httpx.AsyncClient) -> None:
    rebound = await client.get("/api/v1/studies", headers={"host": "evil.example"})
    assert rebound.status_code == 400 and "localhost" in rebound.json()["title"]
    for site in ("cross-site", "same-site"):
        form = await client.post("/api/v1/transfers", json={}, headers={"sec-fetch-site": site})
        assert form.status_code == 403
    own = {"sec-fetch-site": "same-origin"}
    assert (await client.post("/api/v1/transfers", json={}, headers=own)).status_code == 422
    assert (await client.get("/", headers={"host": "127.0.0.1:8080"})).is_success


async def test_a_body_that_is_no_json_is_a_problem(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/api/v1/projects", content=b"{", headers={"content-type": "application/json"}
    )
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_page_that_gives_up_its_question_is_no_error(runtime: Runtime) -> None:
    sent: list[str] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message["type"])

    form = (b"content-type", b"application/x-www-form-urlencoded")
    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": "/rules/new", "raw_path": b"/rules/new", "query_string": b"", "root_path": "",
        "headers": [(b"host", b"localhost"), form], "client": ("127.0.0.1", 1),
        "server": ("localhost", 80), "state": {},
    }  # fmt: skip
    with structlog.testing.capture_logs() as logs:
        await create_app(runtime)(scope, receive, send)
    assert sent[0] == "http.response.start"
    assert [one for one in logs if one["log_level"] == "error"] == []


async def test_an_unknown_path_is_a_problem(client: httpx.AsyncClient) -> None:
    answer = await client.get("/api/v1/nothing")
    assert answer.status_code == 404 and answer.json()["title"] == "Not Found"


async def test_errors_do_not_repeat_what_was_sent(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/v1/transfers", json={"participant": {"x": "Nordmann^Kari"}})
    assert answer.status_code == 422 and "Nordmann" not in answer.text


async def test_without_the_database_it_says_so(
    any_runtime: Runtime, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> None:
        raise Retry(Reason.DATABASE_AWAY)

    monkeypatch.setattr(any_runtime.ledger, "reading", away)
    problem = await api("GET", "/pipeline", 503)
    assert problem["title"] == Reason.DATABASE_AWAY.in_words


async def test_every_operation_has_examples_and_documented_problems(
    client: httpx.AsyncClient,
) -> None:
    document = (await client.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]

    def has_example(schema: dict[str, Any]) -> bool:
        if "$ref" in schema:
            target = schemas[schema["$ref"].rpartition("/")[2]]
            return "example" in target or any(
                has_example(one) for one in target.get("properties", {}).values()
            )
        return has_example(schema["items"]) if "items" in schema else "example" in schema

    for path, operations in document["paths"].items():
        is_dicomweb = path.startswith("/dicom-web/")
        for method, operation in operations.items():
            assert operation["description"], (method, path)
            if "application/json" in operation.get("requestBody", {}).get("content", {}):
                body = operation["requestBody"]["content"]["application/json"]["schema"]
                assert has_example(body), (method, path)
            for status, answer in operation["responses"].items():
                if status in ("204", "304"):
                    assert "content" not in answer
                    continue
                (media,) = answer["content"]
                if media == "image/png":
                    continue
                if is_dicomweb and media != "application/problem+json":  # PS3.18's own media types
                    assert "example" in answer["content"][media]["schema"], (method, path)
                    continue
                assert media == (
                    "application/json" if status < "300" else "application/problem+json"
                )
                if status < "300":
                    assert has_example(answer["content"][media]["schema"]), (method, path)


@pytest.mark.parametrize(
    ("content", "kind", "field", "says"),
    [(b'{"code": "ABC"}', "application/x-www-form-urlencoded", "body", "content-type"),
     (b"[]", "application/json", "body", "JSON object"),
     (b"{", "application/json", "body", "not JSON"),
     (b"{}", "application/json", "code", "missing"),
     (b'{"code": "ABC", "cdoe": 1}', "application/json", "cdoe", "no such field")],
    ids=["curl without a header", "list", "broken", "empty", "unknown field"],
)  # fmt: skip
async def test_a_mistake_in_the_form_of_a_request_is_said_plainly(
    client: httpx.AsyncClient, content: bytes, kind: str, field: str, says: str
) -> None:
    headers = {"content-type": kind}
    answer = await client.post("/api/v1/projects", content=content, headers=headers)
    (error,) = answer.json()["errors"]
    assert answer.status_code == 422
    assert error["field"] == field and says in error["message"]


async def test_a_wrong_method_is_answered_with_the_right_ones(client: httpx.AsyncClient) -> None:
    answer = await client.delete("/api/v1/pipeline")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


async def test_every_field_is_described(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    silent = [
        f"{name}.{field}"
        for name, schema in document["components"]["schemas"].items()
        for field, described in schema.get("properties", {}).items()
        if not described.get("description")
    ]
    assert silent == []
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert "503" in operation["responses"], (method, path)
