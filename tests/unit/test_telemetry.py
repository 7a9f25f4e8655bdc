"""No log line repeats what it was not meant to (law 5)."""

import subprocess
import sys

import pytest

SECRET = "Nordmann^Kari"

# Each runs in a process of its own, configured as the services are.
LEAKS = {
    "an exception that is logged": """
try:
    raise ValueError(SECRET)
except ValueError as error:
    telemetry.logger("tests").error("failed", exc_info=error)
""",
    "an exception that nobody catches": "raise ValueError(SECRET)",
    "an exception in a thread": """
import threading
thread = threading.Thread(target=lambda: int(SECRET))
thread.start()
thread.join()
""",
    "an exception in a task that nobody awaits": """
import asyncio, gc
async def main():
    async def fail():
        raise ValueError(SECRET)
    task = asyncio.create_task(fail())
    await asyncio.sleep(0.01)
    del task
    gc.collect()
asyncio.run(main())
""",
    "pydicom's logger": """
import pydicom, pydicom.config, logging
logging.getLogger("pydicom").setLevel("DEBUG")
logging.getLogger("pydicom").error("Invalid value %s", SECRET)
""",
    "pydicom's warnings": """
from pydicom.charset import convert_encodings
convert_encodings([SECRET])
import warnings
warnings.warn(SECRET)
""",
    "pynetdicom's logger": """
from pynetdicom import AE
import logging
logging.getLogger("pynetdicom").critical("AE title %s", SECRET)
""",
    "another library's logger": """
import logging
logging.getLogger("somebody").critical("could not write %s", SECRET)
""",
}


@pytest.mark.parametrize("how", LEAKS)
@pytest.mark.parametrize("form", ["json", "text"])
def test_no_log_line_quotes_data(how: str, form: str) -> None:
    code = f"""
from shared import telemetry
from shared.settings import Settings
telemetry.configure_logging(Settings(log_format={form!r}, log_level="DEBUG"))
SECRET = {SECRET!r}
{LEAKS[how]}
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "Nordmann" not in done.stderr + done.stdout, done.stderr
    if "exception" in how:
        assert "ValueError" in done.stderr  # what happened is still told


def test_uvicorn_may_say_where_it_listens() -> None:
    code = """
from shared import telemetry
from shared.settings import Settings
telemetry.configure_logging(Settings())
import logging
logging.getLogger("uvicorn.error").error("could not bind")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "could not bind" in done.stderr
