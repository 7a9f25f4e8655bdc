"""The Storage and Verification SCP on the wire, through pynetdicom (PS3.4 annex B, PS3.8)."""

import re
import socket
import threading
from typing import Any

from pynetdicom import AE, _config, evt
from pynetdicom.sop_class import Verification
from pynetdicom.transport import ThreadedAssociationServer

from services.receiver.announcer import Announcer
from services.receiver.consumer import PROCESSING_FAILURE, Intake, answer
from services.receiver.titles import CalledTitles
from shared import telemetry
from shared.clock import now
from shared.errors import StartError
from shared.identity import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from shared.settings import Settings
from shared.spool import Association, Spool

log = telemetry.logger("receiver")


class _Server(ThreadedAssociationServer):  # type: ignore[misc]
    request_queue_size = 128  # connections not yet accepted; the default of 5 drops senders


class StorageScp:
    """Listens for associations; each runs in a thread of its own.

    Every storage SOP class is taken, private and unknown ones too, in whatever transfer syntax the
    sender has: data sets are never decoded here.
    """

    def __init__(
        self, settings: Settings, spool: Spool, announcer: Announcer, titles: CalledTitles
    ) -> None:
        self._spool, self._announcer, self._titles = spool, announcer, titles
        self._intakes: dict[Any, Intake] = {}
        _config.UNRESTRICTED_STORAGE_SERVICE = True
        _config.LOG_HANDLER_LEVEL = "none"
        entity = AE(settings.ae_title)
        entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        entity.add_supported_context(Verification)
        entity.maximum_pdu_size = settings.max_pdu
        entity.maximum_associations = settings.max_associations
        entity.network_timeout = entity.dimse_timeout = settings.network_timeout
        entity.require_called_aet = True
        self._server = self._bind(entity, settings)
        entity._servers.append(self._server)  # noqa: SLF001 as `AE.start_server` does
        self._entity = entity
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="dicom-server", daemon=True
        )

    def _bind(self, entity: AE, settings: Settings) -> _Server:
        try:
            server: _Server = entity.make_server(
                (settings.dicom_host, settings.dicom_port),
                evt_handlers=[
                    (evt.EVT_CONN_OPEN, self._on_connection),
                    (evt.EVT_REQUESTED, self._on_request),
                    (evt.EVT_ESTABLISHED, self._on_established),
                    (evt.EVT_C_STORE, self._on_store),
                    (evt.EVT_RELEASED, self._on_release),
                    (evt.EVT_ABORTED, self._on_abort),
                    (evt.EVT_CONN_CLOSE, self._on_abort),
                ],
                server_class=_Server,
            )
            return server
        except OSError as error:
            raise StartError(
                f"port {settings.dicom_port} for DICOM can't be used: {error.strerror}. "
                "Choose another with SLUSE_DICOM_PORT (`sluse up --dicom-port`)"
            ) from None

    @property
    def port(self) -> int:
        """The port it listens on."""
        port: int = self._server.socket.getsockname()[1]
        return port

    def start(self) -> None:
        """Accept associations from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Abort what is open and close the port."""
        self._entity.shutdown()

    # Called by pynetdicom in the association's threads

    def _on_connection(self, event: evt.Event) -> None:
        # Answers are small and wait for nothing: Nagle's delay costs 40 ms per image.
        event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _on_request(self, event: evt.Event) -> None:
        # pynetdicom compares the called title with the acceptor's and rejects with
        # "called AE title not recognised" (PS3.8 table 9-21) where they differ.
        requestor = event.assoc.requestor
        called = requestor.primitive.called_ae_title.strip()
        if called in self._titles:
            event.assoc.acceptor.ae_title = called
        else:
            telemetry.ASSOCIATIONS.labels("unknown-called-aet").inc()
            log.warning(
                "association rejected: called AE title not recognised",
                called=_printable(called),
                calling=_printable(requestor.primitive.calling_ae_title.strip()),
                peer=str(requestor.address),
            )

    def _on_established(self, event: evt.Event) -> None:
        requestor = event.assoc.requestor
        sender = Association(
            calling_aet=requestor.ae_title.strip(),
            called_aet=requestor.primitive.called_ae_title.strip(),
            peer_address=str(requestor.address),
            opened_at=now(),
        )
        self._intakes[event.assoc] = Intake(self._spool, self._announcer, sender)

    def _on_store(self, event: evt.Event) -> int:
        request = event.request
        try:
            return self._intakes[event.assoc].store(
                str(request.AffectedSOPClassUID),
                str(request.AffectedSOPInstanceUID),
                str(event.context.transfer_syntax),
                request.DataSet,
            )
        except Exception as error:  # pynetdicom would log its text, and answer 0xC211
            log.error("image refused", exc_info=error)
            return answer(PROCESSING_FAILURE)

    def _on_release(self, event: evt.Event) -> None:
        self._close(event.assoc, completed=True)

    def _on_abort(self, event: evt.Event) -> None:
        self._close(event.assoc, completed=False)

    def _close(self, association: object, *, completed: bool) -> None:
        # A release is followed by the end of the connection: the first of them counts.
        intake = self._intakes.pop(association, None)
        if intake:
            intake.close(completed=completed)


def _printable(title: str) -> str:
    """An AE title for the log; what does not look like a device's name stays out of it."""
    return title if re.fullmatch(r"[A-Za-z0-9 ._-]{1,16}", title) else "(unusual characters)"
