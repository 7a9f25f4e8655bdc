"""TLS for DICOM as the one who connects, by the BCP 195 profiles (PS3.15 B.9 to B.12)."""

import ssl

from shared.credentials import CredentialsError, find
from shared.settings import Settings

# RFC 9325 4.2: forward secrecy and authenticated encryption. TLS 1.3 has nothing else.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


class TlsError(Exception):
    """Our own certificate or the authorities can't be used; the text says why."""


def client_context(settings: Settings, credentials: str = "") -> ssl.SSLContext:
    """What a connection to a research PACS is secured with.

    The files are read each time: new certificates need no restart.

    Parameters
    ----------
    credentials
        Name of the folder with the files for this one (`shared.credentials`).

    Raises
    ------
    TlsError
        A file can't be used.
    """
    try:
        files = find(settings, credentials)
        context = ssl.create_default_context(cafile=files.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(CIPHERS)
        context.check_hostname = settings.pacs_tls_check_host
        if files.certificate:
            # A key under a passphrase would ask for it on the terminal.
            context.load_cert_chain(files.certificate, files.key, password=lambda: "")
    except CredentialsError as error:
        raise TlsError(str(error)) from None
    except OSError as error:
        why = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise TlsError(f"Sluse's own certificates can't be used: {why}") from None
    return context
