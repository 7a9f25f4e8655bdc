"""PostgreSQL as an unprivileged user; each test gets a database of its own."""

import os
import pwd
import shutil
import subprocess
import uuid
from pathlib import Path

from tests.servers.common import free_port, missing, shared_server, start_guarded, wait_for


def postgres(root: Path) -> str:
    """The URL of the server's `postgres` database; `new_database` makes others."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not binaries:
        missing("PostgreSQL", "postgresql")
    found = shared_server(
        root, "postgres", lambda folder: _start(root, folder, binaries[-1].parent)
    )
    return found["url"]


def new_database(server: str) -> str:
    """The URL of a fresh, empty database."""
    name = f"t{uuid.uuid4().hex}"
    _psql(server, f"CREATE DATABASE {name}")
    return server.rpartition("/")[0].replace("postgresql://", "postgresql+asyncpg://") + f"/{name}"


def _start(root: Path, folder: Path, binaries: Path) -> dict[str, str]:
    port, user = free_port(), _unprivileged()
    # The server's user must reach its folder, and pytest's are private.
    data = Path("/tmp") / f"sluse-postgres-{port}"
    data.mkdir(mode=0o700)
    if user:
        shutil.chown(data, user)
    as_user = ["runuser", "-u", user, "--"] if user else []
    subprocess.run(
        [*as_user, binaries / "initdb", "-D", data / "db", "-U", "u", "--auth=trust",
         "-E", "UTF8", "--no-locale", "--no-sync"],
        check=True, capture_output=True, cwd="/",
    )  # fmt: skip
    options = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": str(data),
        "fsync": "off",  # a test's database need not survive a power cut
        "max_connections": "300",
        "log_min_messages": "fatal",
    }
    settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
    command = [*as_user, binaries / "postgres", "-D", data / "db", "-p", str(port), *settings]
    start_guarded(root, command, folder / "server.log", remove=data)
    url = f"postgresql://u@127.0.0.1:{port}/postgres"
    wait_for(lambda: _psql(url, "SELECT 1", quiet=True) == 0, "PostgreSQL")
    return {"url": url}


def _unprivileged() -> str | None:
    if os.getuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _psql(url: str, statement: str, *, quiet: bool = False) -> int:
    return subprocess.run(
        ["psql", "-q", "-c", statement, url], check=not quiet, capture_output=True
    ).returncode
