"""Make the virtual environment from a hashed lock file: scripts/environment.py VENV LOCK."""

import subprocess
import sys
import venv
from pathlib import Path

OLDEST, NEWEST = (3, 11), (3, 13)


def main(target: Path, lock: Path) -> None:
    """Create `target`, install exactly what `lock` pins, then this checkout without its index."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        found = ".".join(map(str, sys.version_info[:2]))
        sys.exit(f"Sluse needs Python 3.11 to 3.13, this is {found}. Try: make PYTHON=python3.12 …")
    if not (target / "bin" / "python").exists():
        print(f"Making the virtual environment {target} …", flush=True)
        try:
            venv.create(target, with_pip=True)
        except (subprocess.CalledProcessError, ImportError):
            sys.exit("Python's venv module is incomplete. On Debian: apt-get install python3-venv")
    python = target / "bin" / "python"
    print(f"Installing the packages pinned in {lock} …", flush=True)
    pip = [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    for step in (
        [*pip, "--require-hashes", "--requirement", lock],
        [*pip, "--no-deps", "--no-build-isolation", "--editable", "."],
    ):
        if subprocess.run(step).returncode:
            sys.exit("pip could not install the packages; its message is above.")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
