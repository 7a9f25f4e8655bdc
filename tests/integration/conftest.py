"""Runtimes over both databases."""

from collections.abc import AsyncIterator

import pytest

from shared.runtime import Runtime, open_runtime
from shared.settings import Settings


@pytest.fixture(params=["sqlite", "postgres"])
async def any_runtime(request: pytest.FixtureRequest, settings: Settings) -> AsyncIterator[Runtime]:
    """A runtime on SQLite, and the same on PostgreSQL."""
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_url")
        settings = settings.model_copy(update={"database_url": type(settings.database_url)(url)})
    settings.spool_path.parent.mkdir(parents=True, exist_ok=True)
    async with open_runtime(settings, "tests", migrating=True) as opened:
        yield opened
