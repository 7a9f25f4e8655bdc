"""dcmtk's command line tools, as the modality."""

import os
import shutil
import subprocess
from pathlib import Path

from tests.servers.common import missing

# Without this dcmtk waits for Nagle's delay on every image.
_ENVIRONMENT = os.environ | {"TCP_NODELAY": "1"}


def run(
    tool: str, *arguments: str | Path | int, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """Run one of dcmtk's tools."""
    if shutil.which(tool) is None:
        missing(f"dcmtk's {tool}", "dcmtk")
    return subprocess.run(
        [tool, *map(str, arguments)], check=check, capture_output=True, text=True,
        env=_ENVIRONMENT, timeout=300,
    )  # fmt: skip
