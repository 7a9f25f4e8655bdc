"""TLS for DICOM by the BCP 195 profiles (PS3.15 B.9 to B.12), with certificates that may change."""

import ssl
import threading
from pathlib import Path

from shared import telemetry
from shared.dimse.tls import CIPHERS
from shared.errors import StartError
from shared.settings import Settings

log = telemetry.logger("receiver")


class Certificates:
    """The server's TLS context. Files that change are read again, for the next connection.

    Raises
    ------
    StartError
        The certificate, its key or the authorities can't be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._certificate = settings.dicom_tls_certificate
        self._key = settings.dicom_tls_key
        self._authorities = settings.dicom_tls_client_ca
        self._lock = threading.Lock()
        try:
            self._seen = self._look()
            self._context = self._load()
        except OSError as error:
            raise StartError(
                "the certificate for DICOM over TLS can't be used "
                f"({_why(error)}). Check SLUSE_DICOM_TLS_CERTIFICATE, SLUSE_DICOM_TLS_KEY "
                "and SLUSE_DICOM_TLS_CLIENT_CA"
            ) from None

    def context(self) -> ssl.SSLContext:
        """The context for the next connection; any thread."""
        with self._lock:
            try:
                seen = self._look()
                if seen != self._seen:
                    self._seen = seen
                    self._context = self._load()
                    log.info("certificates loaded again")
            except OSError as error:
                # Half of them may be written by now: the old ones serve until all fit.
                log.error("certificates can't be loaded; the old ones stay", why=_why(error))
            return self._context

    def _files(self) -> list[Path]:
        return [one for one in (self._certificate, self._key, self._authorities) if one]

    def _look(self) -> list[tuple[int, int, int]]:
        found = [path.stat() for path in self._files()]
        return [(one.st_mtime_ns, one.st_ino, one.st_size) for one in found]

    def _load(self) -> ssl.SSLContext:
        if self._certificate is None:
            raise FileNotFoundError
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(CIPHERS)
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        # A key under a passphrase would ask for it on the terminal.
        context.load_cert_chain(self._certificate, self._key, password=lambda: "")
        if self._authorities:
            context.load_verify_locations(self._authorities)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def _why(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):
        return error.reason or "unknown"
    return error.strerror or type(error).__name__
