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


def propose(syntax: str) -> list[str]:
    """The option of storescu that makes it propose a transfer syntax."""
    return {
        "1.2.840.10008.1.2.1": ["-xe"], "1.2.840.10008.1.2.2": ["-xb"],
        "1.2.840.10008.1.2": ["-xi"],
        "1.2.840.10008.1.2.1.99": ["-xd"], "1.2.840.10008.1.2.5": ["-xr"],
        "1.2.840.10008.1.2.4.50": ["-xy"], "1.2.840.10008.1.2.4.51": ["-xx"],
        "1.2.840.10008.1.2.4.70": ["-xs"], "1.2.840.10008.1.2.4.80": ["-xt"],
        "1.2.840.10008.1.2.4.81": ["-xu"], "1.2.840.10008.1.2.4.90": ["-xv"],
        "1.2.840.10008.1.2.4.91": ["-xw"],
    }.get(syntax, [])  # fmt: skip
