"""Sluse as hospital IT runs it: five processes, RabbitMQ, PostgreSQL, a research PACS."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.deployment import Deployment


@pytest.fixture
def deployment(tmp_path: Path, amqp_url: str, postgres_url: str) -> Iterator[Deployment]:
    running = Deployment(tmp_path, amqp_url, postgres_url)
    with running:
        yield running
