"""Fixtures that all tests share: the servers, the settings, an open runtime."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import hypothesis
import pytest
import structlog

from shared.runtime import Runtime, open_runtime
from shared.settings import Settings, embedded
from tests.servers import common
from tests.servers.orthanc import Orthanc, orthanc
from tests.servers.postgres import new_database, postgres
from tests.servers.rabbitmq import RabbitMq, rabbitmq

# The same examples every time: what fails, fails for everybody.
hypothesis.settings.register_profile("sluse", derandomize=True, deadline=None)
hypothesis.settings.load_profile("sluse")
# As services log: what structlog does on its own draws each traceback for seconds, with all values.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=structlog.dev.plain_traceback
        ),
    ]
)


def _root(config: pytest.Config) -> Path:
    """One folder for the whole run, the same for every worker."""
    base = config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]
    return base.parent if hasattr(config, "workerinput") else base


def pytest_sessionstart(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):
        (_root(session.config) / "owner").write_text(str(os.getpid()))


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not hasattr(session.config, "workerinput"):
        common.stop_all(_root(session.config))


@pytest.fixture(scope="session")
def servers(pytestconfig: pytest.Config) -> Path:
    return _root(pytestconfig)


@pytest.fixture(scope="session")
def broker(servers: Path) -> RabbitMq:
    return rabbitmq(servers)


@pytest.fixture
def amqp_url(broker: RabbitMq) -> str:
    return broker.new_vhost()


@pytest.fixture(scope="session")
def postgres_server(servers: Path) -> str:
    return postgres(servers)


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    return new_database(postgres_server)


@pytest.fixture(scope="session")
def research_pacs(servers: Path) -> Orthanc:
    return orthanc(servers)


@pytest.fixture(autouse=True)
def _only_the_tests_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """No knob of the machine's environment reaches a test."""
    for name in list(os.environ):
        if name.startswith("SLUSE_"):
            monkeypatch.delenv(name)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Embedded defaults on free ports, impatient."""
    return embedded(
        tmp_path / "data", dicom_host="127.0.0.1", dicom_port=0, http_port=0, workers=1,
        retry_delays=[0.2, 0.4], ae_refresh=0.2, reconcile_every=0.3, patience=1.0,
        network_timeout=10, association_idle=0.5, verify_after=0.3,
    )  # fmt: skip


@pytest.fixture
async def runtime(settings: Settings) -> AsyncIterator[Runtime]:
    settings.spool_path.parent.mkdir(parents=True, exist_ok=True)
    async with open_runtime(settings, "tests", migrating=True) as opened:
        yield opened
