"""What every de-identification process owes to the one that started it, and how it is started."""

import multiprocessing
import os
import signal
import threading
from multiprocessing import connection, forkserver

# Imported once by the server, and not by each of its processes.
_PRELOADED = ["services.anonymizer.standalone.work"]


def start_server() -> None:
    """Start the server that processes are forked from, with Ctrl-C ignored; they inherit that.

    They would print a traceback each if it came before they can ignore it themselves.
    """
    # Neither changes anything where the caller's program has started it already.
    multiprocessing.set_forkserver_preload(_PRELOADED)
    if threading.current_thread() is not threading.main_thread():
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        forkserver.ensure_running()
    finally:
        signal.signal(signal.SIGINT, before or signal.SIG_DFL)


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
