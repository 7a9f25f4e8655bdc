"""How projects and destinations are described, and what is said of what can't work."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from services.api.app import create_app
from services.api.projects.processing import pace_of
from shared.ledger.tables import Destination
from shared.runtime import Runtime
from tests.helpers import rows
from tests.integration.test_api_fixtures import Api

pytest_plugins = ["tests.integration.test_api_fixtures"]


@pytest.fixture
async def api(runtime: Runtime) -> AsyncIterator[Api]:
    transport = httpx.ASGITransport(create_app(runtime), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield Api(client)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"deletion": "sometimes"}, "deletion"),
        ({"deletion": "orthanc"}, "deletion_url"),
        ({"deletion_url": "pacs.local"}, "deletion_url"),
        ({"deletion_url": "ftp://pacs.local"}, "deletion_url"),
        ({"deletion_url": "https://user:secret@pacs.local"}, "deletion_url"),
        ({"deletion_url": "https://pacs.local:x"}, "deletion_url"),
        ({"deletion_url": "https://pacs.local/?key=1"}, "deletion_url"),
        ({"deletion_url": "https://pacs local"}, "deletion_url"),
        ({"deletion_url": "https:///studies"}, "deletion_url"),
    ],
)
async def test_how_a_destination_deletes_is_checked(
    runtime: Runtime, api: Api, change: dict[str, str], field: str
) -> None:
    body = {"name": "b", "ae_title": "PACS", "host": "127.0.0.1", "port": 104}
    await api.refused("/destinations", body | change, field)
    good = body | {"deletion": "dicomweb", "deletion_url": "https://pacs.local:8042/dicom-web"}
    made = await api("POST", "/destinations", 201, good)
    assert made == made | good
    assert len(await rows(runtime, Destination)) == 1


SITES = {"sites": ["Bergen", "Førde"], "participant_pattern": "CCC{site:2}_{n:3}"}


@pytest.mark.parametrize(
    ("fields", "field", "words"),
    [
        ({"participant_pattern": "CCC{m:3}"}, "participant_pattern", "{n:4} and {site:2}"),
        ({"participant_pattern": "CCC("}, "participant_pattern", "regular expression"),
        ({"participant_pattern": "CCC_{n:3}_{n:3}"}, "participant_pattern", "{n} once"),
        ({"participant_pattern": "CCC#{n:3}"}, "participant_pattern", "letters, digits"),
        ({"participant_pattern": "CCC{site:2}_{n:3}"}, "sites", "which sites there are"),
        (SITES, "site_codes", "a code of 2 letters or digits, not Bergen"),
        (SITES | {"site_codes": {"Bergen": "BER", "Førde": "02"}}, "site_codes", "not BER"),
        (SITES | {"site_codes": {"Bergen": "b1", "Førde": "B1"}}, "site_codes", "the same code"),
        (SITES | {"site_codes": {"Oslo": "01"}}, "site_codes", "no site Oslo"),
    ],
    ids=["no-field", "no-expression", "two-numbers", "odd-sign", "no-sites", "no-code", "too-wide",
         "twice", "no-such-site"],
)  # fmt: skip
async def test_what_participant_ids_look_like_is_checked(
    api: Api, fields: dict[str, Any], field: str, words: str
) -> None:
    problem = await api("POST", "/projects", 422, {"code": "CCC"} | fields)
    (error,) = problem["errors"]
    assert error["field"] == field and words in error["message"]


async def test_a_regular_expression_needs_no_sites(api: Api) -> None:
    body = {"code": "CCC", "participant_pattern": r"CCC[0-9]{2}\p{Lu}", "sites": ["Førde"]}
    made = await api("POST", "/projects", 201, body)
    assert made["participant_pattern"] == body["participant_pattern"]


def test_the_pace_leaves_pauses_out() -> None:
    start = datetime(2020, 2, 14, tzinfo=UTC)
    moments = [start + timedelta(seconds=s) for s in (0, 1, 2, 3600, 3601, 3602)]
    assert pace_of(moments) == 1.0
    assert pace_of(moments[:1]) is pace_of([start, start]) is None
