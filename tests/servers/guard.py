"""Runs a server and ends it with the test run.

    python -m tests.servers.guard OWNER_PID FOLDER COMMAND …

FOLDER is removed in the end; "-" for none.

Whatever becomes of the test run, the server does not outlive it.
"""

import os
import shutil
import signal
import subprocess
import sys
import time

GRACE = 4  # seconds; what these servers hold is thrown away anyway


def main(owner: int, folder: str, command: list[str]) -> int:
    """Run `command` until it ends, this process is told to, or the process `owner` is gone."""
    server = subprocess.Popen(command, start_new_session=True)
    stopping = False

    def stop(*_: object) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    while server.poll() is None:
        if stopping or not os.path.exists(f"/proc/{owner}"):  # noqa: PTH110
            os.killpg(server.pid, signal.SIGTERM)
            try:
                server.wait(GRACE)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
            break
        time.sleep(0.2)
    code = server.wait()
    if folder != "-":
        shutil.rmtree(folder, ignore_errors=True)
    return code


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], sys.argv[3:]))
