"""RabbitMQ with the management plugin; each test gets a virtual host of its own."""

import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.servers.common import free_port, missing, shared_server, start_guarded, wait_for

_HOME = Path("/usr/lib/rabbitmq")


@dataclass(frozen=True)
class RabbitMq:
    """A running broker."""

    port: int
    management: int

    def api(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Call the management API."""
        return httpx.request(
            method, f"http://127.0.0.1:{self.management}/api/{path}", auth=("u", "pw"), timeout=30,
            trust_env=False, **options,
        )  # fmt: skip

    def new_vhost(self) -> str:
        """The URL of a fresh virtual host."""
        name = uuid.uuid4().hex
        self.api("PUT", f"vhosts/{name}").raise_for_status()
        self.api(
            "PUT", f"permissions/{name}/u", json={"configure": ".*", "write": ".*", "read": ".*"}
        ).raise_for_status()
        return f"amqp://u:pw@127.0.0.1:{self.port}/{name}"


def rabbitmq(root: Path) -> RabbitMq:
    """The broker of this test run."""
    if not (_HOME / "bin/rabbitmq-server").exists():
        missing("RabbitMQ", "rabbitmq-server")
    ports = shared_server(root, "rabbitmq", lambda folder: _start(root, folder))
    return RabbitMq(ports["port"], ports["management"])


def _start(root: Path, folder: Path) -> dict[str, int]:
    port, management, epmd, distribution = (free_port() for _ in range(4))
    (folder / "rabbitmq.conf").write_text(
        f"listeners.tcp.1 = 127.0.0.1:{port}\n"
        f"management.tcp.ip = 127.0.0.1\n"
        f"management.tcp.port = {management}\n"
        "default_user = u\ndefault_pass = pw\n"
        "log.console = false\nlog.file.level = warning\n"
        "vm_memory_high_watermark.absolute = 2GiB\ndisk_free_limit.absolute = 100MB\n"
    )
    (folder / "enabled_plugins").write_text("[rabbitmq_management].")
    (folder / "env.conf").touch()
    cookie = folder / ".erlang.cookie"
    cookie.write_text("sluse-tests")
    cookie.chmod(0o400)
    env = os.environ | {
        "HOME": str(folder),
        "ERL_EPMD_PORT": str(epmd),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": f"sluse{port}@localhost",
        "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
        "RABBITMQ_LOG_BASE": str(folder / "log"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "env.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
    }
    # epmd first and by itself: started by the broker it would stay behind.
    start_guarded(root, ["epmd"], folder / "epmd.log", env)
    start_guarded(root, [_HOME / "bin/rabbitmq-server"], folder / "server.log", env)
    broker = RabbitMq(port, management)
    wait_for(lambda: _healthy(broker), "RabbitMQ", seconds=120)
    return {"port": port, "management": management}


def _healthy(broker: RabbitMq) -> bool:
    try:
        return broker.api("GET", "health/checks/alarms").is_success
    except httpx.TransportError:
        return False
