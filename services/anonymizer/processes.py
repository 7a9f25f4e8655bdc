"""What every de-identification process owes to the one that started it."""

import multiprocessing
import os
import signal
import threading
from multiprocessing import connection


def live_with_parent() -> None:
    """Stop when the parent says so, and end when it is gone, however it went."""
    # Ctrl-C reaches the whole terminal; the parent decides when its processes stop.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_after, args=(parent.sentinel,), daemon=True).start()


def _end_after(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
