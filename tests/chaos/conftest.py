"""Sluse with several workers of each kind, between networks that can be made to fail."""

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.system import System
from tests.servers.orthanc import Orthanc
from tests.servers.rabbitmq import RabbitMq


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Seeds: the first in the suite, as many as `make chaos` is asked for, or those to replay."""
    if "seed" in metafunc.fixturenames:
        first = int(os.environ.get("CHAOS_SEED", "1"))
        nights = int(os.environ.get("CHAOS_NIGHTS", "1"))
        seeds = range(first, first + nights)
        metafunc.parametrize("seed", seeds, ids=[f"seed{seed}" for seed in seeds])


@pytest.fixture
def chance(seed: int) -> random.Random:
    return random.Random(seed)


@pytest.fixture
def system(
    tmp_path: Path, broker: RabbitMq, amqp_url: str, postgres_url: str, research_pacs: Orthanc
) -> Iterator[System]:
    with System(tmp_path, broker, amqp_url, postgres_url, research_pacs) as running:
        running.set_up()
        yield running
