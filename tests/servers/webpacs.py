"""A DICOMweb service that answers as it is told, over HTTP or HTTPS."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from tests.certificates import Pair


class Asked(NamedTuple):
    """A request that came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def parts(self) -> list[bytes]:
        """The files in a multipart body."""
        boundary = self.headers["Content-Type"].split("boundary=")[1].encode()
        pieces = self.body.split(b"--" + boundary)
        return [one.split(b"\r\n\r\n", 1)[1][:-2] for one in pieces[1:-1]]


Reply = tuple[int, bytes]
Answering = Callable[[Asked], Reply]


class WebPacs:
    """What came, and what is answered."""

    def __init__(self, answer: Answering) -> None:
        self.answer, self.asked, self.url = answer, list[Asked](), ""
        self.headers: dict[str, str] = {}


@contextmanager
def web_pacs(answer: Answering, pair: Pair | None = None) -> Iterator[WebPacs]:
    """A running one."""
    pacs = WebPacs(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self._answer()

        def do_GET(self) -> None:
            self._answer()

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked = Asked(self.command, self.path, dict(self.headers), body)
            pacs.asked.append(asked)
            status, content = pacs.answer(asked)
            self.send_response(status)
            for name, value in pacs.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if pair is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate, pair.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    pacs.url = f"{'https' if pair else 'http'}://127.0.0.1:{server.server_port}/dicom-web"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield pacs
    finally:
        server.shutdown()
        server.server_close()


def stored(stored: dict[str, int | None], failed: dict[str, int | None] | None = None) -> bytes:
    """A Store Instances Response: SOP Instance UIDs with a warning, or with the reason."""

    def items(some: dict[str, int | None], code: str) -> dict[str, object]:
        return {
            "vr": "SQ",
            "Value": [
                {"00081155": {"vr": "UI", "Value": [uid]}}
                | ({code: {"vr": "US", "Value": [number]}} if number is not None else {})
                for uid, number in some.items()
            ],
        }

    said = {"00081199": items(stored, "00081196"), "00081198": items(failed or {}, "00081197")}
    return json.dumps(said).encode()
