"""A port: accepts connections, each served on a thread of its own."""

import socket
import ssl
import threading
import time
from contextlib import suppress

from services.receiver.tls import Certificates
from services.receiver.upper_layer import Connection, House
from shared import telemetry
from shared.errors import StartError
from shared.settings import Settings

log = telemetry.logger("receiver")

_BACKLOG = 128  # connections not yet accepted; the default of 5 drops senders
_PER_ASSOCIATION = 4  # connections per association allowed: some only knock, some say goodbye
_PAUSE = 0.2  # seconds before the next try when the system has no descriptor left


class Listener:
    """Listens as soon as it exists, accepts from `start` to `stop`.

    Parameters
    ----------
    knob
        The setting that chose the port.
    certificates
        For a port with TLS.

    Raises
    ------
    StartError
        The port can't be used.
    """

    def __init__(
        self, house: House, port: int, knob: str, certificates: Certificates | None = None
    ) -> None:
        self._house, self._certificates = house, certificates
        self._room = threading.BoundedSemaphore(_PER_ASSOCIATION * house.settings.max_associations)
        self._connections: dict[Connection, threading.Thread] = {}
        self._lock = threading.Lock()
        self._stopping = False
        settings = house.settings
        self._socket = bound(settings, port, knob, shared=settings.dicom_port_shared)
        self._socket.listen(_BACKLOG)
        self._thread = threading.Thread(target=self._accept, name="dicom-port", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on."""
        port: int = self._socket.getsockname()[1]
        return port

    def start(self) -> None:
        """Accept connections from now on."""
        self._thread.start()

    def stop(self, patience: float) -> None:
        """Close the port, abort what is open and wait for it, `patience` seconds at most."""
        with self._lock:
            self._stopping = True
            left = dict(self._connections)
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes `accept`
        self._socket.close()
        for connection in left:
            connection.stop()
        end = time.monotonic() + patience
        for thread in left.values():
            thread.join(max(0.0, end - time.monotonic()))

    def _accept(self) -> None:
        while not self._stopping:
            try:
                accepted, address = self._socket.accept()
            except OSError as error:
                if not self._stopping:
                    log.error("connection not accepted", why=error.strerror)
                    time.sleep(_PAUSE)
                continue
            self._begin(accepted, address[0].removeprefix("::ffff:"))

    def _begin(self, accepted: socket.socket, address: str) -> None:
        if not self._room.acquire(blocking=False):
            log.warning("connection closed: too many are open", peer=address)
            accepted.close()
            return
        # Answers are small and wait for nothing: Nagle's delay costs 40 ms per image.
        with suppress(OSError):
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        thread = threading.Thread(
            target=self._served, args=(accepted, address), name="dicom-association", daemon=True
        )
        try:
            thread.start()
        except RuntimeError:  # no more threads
            self._room.release()
            accepted.close()

    def _served(self, accepted: socket.socket, address: str) -> None:
        try:
            self._serve(accepted, address)
        finally:
            self._room.release()

    def _serve(self, accepted: socket.socket, address: str) -> None:
        try:
            secured = self._secured(accepted, address)
        except OSError as error:
            why = error.reason if isinstance(error, ssl.SSLError) else error.strerror
            telemetry.ASSOCIATIONS.labels("tls-refused").inc()
            log.warning("TLS refused", peer=address, why=why or "silent for too long")
            accepted.close()
            return
        connection = Connection(self._house, secured, address)
        with self._lock:
            if self._stopping:
                secured.close()
                return
            self._connections[connection] = threading.current_thread()
        try:
            connection.run()
        finally:
            with self._lock:
                del self._connections[connection]

    def _secured(self, accepted: socket.socket, address: str) -> socket.socket:
        if self._certificates is None:
            return accepted
        accepted.settimeout(self._house.settings.artim_timeout)
        return self._certificates.context().wrap_socket(accepted, server_side=True)


def bound(settings: Settings, port: int, knob: str, *, shared: bool) -> socket.socket:
    """A socket on `port`, not yet listening.

    Parameters
    ----------
    knob
        The setting that chose the port.
    shared
        Others may have the same port, in the same way.

    Raises
    ------
    StartError
        The port can't be used.
    """
    host = settings.dicom_host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family is socket.AF_INET6 and socket.has_dualstack_ipv6():
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        made.bind((host, port))
    except OSError as error:
        made.close()
        option = " (`sluse up --dicom-port`)" if knob == "DICOM_PORT" else ""
        raise StartError(
            f"port {port} for DICOM can't be used: {error.strerror}. "
            f"Choose another with SLUSE_{knob}{option}"
        ) from None
    return made
