"""Storage and Verification SCP (PS3.4 annexes A and B): the ports, and who may come in."""

from collections.abc import Callable, Sequence

from services.receiver.acse import Caller, Rejection
from services.receiver.announcer import Announcer
from services.receiver.consumer import Intake
from services.receiver.door import Door
from services.receiver.limits import Limits
from services.receiver.listener import Listener
from services.receiver.tls import Certificates
from services.receiver.upper_layer import House
from shared.clock import now
from shared.dimse.messages import Service
from shared.pressure import Pressure
from shared.settings import Settings
from shared.spool import Association, Spool

_LAST_WORDS = 5.0  # seconds for open associations to end


class StorageScp:
    """Listens for associations; each runs in a thread of its own.

    Every storage SOP class is taken, private and unknown ones too, in whatever transfer syntax the
    sender has: data sets are never decoded here.

    Parameters
    ----------
    refused
        Told of every association that is rejected; called in the associations' threads.
    services
        DIMSE services beside storage and verification.

    Raises
    ------
    StartError
        A port or a certificate can't be used.
    """

    def __init__(
        self,
        settings: Settings,
        spool: Spool,
        announcer: Announcer,
        pressure: Pressure,
        door: Door,
        refused: Callable[[Caller, Rejection], None],
        services: Sequence[Service] = (),
    ) -> None:
        self._settings, self._spool = settings, spool
        self._announcer, self._door, self._pressure = announcer, door, pressure
        house = House(
            settings,
            Limits(settings.max_associations, settings.max_associations_per_peer),
            pressure,
            door.verdict,
            refused,
            self._intake,
            {service.abstract_syntax: service for service in services},
        )
        self._plain: Listener | None = None
        self._tls: Listener | None = None
        tls_port = settings.dicom_tls_port
        if tls_port is None or not settings.dicom_tls_only:
            self._plain = Listener(house, settings.dicom_port, "DICOM_PORT")
        if tls_port is not None:
            try:
                self._tls = Listener(house, tls_port, "DICOM_TLS_PORT", Certificates(settings))
            except BaseException:
                self.stop()
                raise

    @property
    def port(self) -> int:
        """The port without TLS; the one with TLS where that is the only one."""
        return self._listeners()[0].port

    @property
    def tls_port(self) -> int | None:
        """The port with TLS."""
        return self._tls.port if self._tls else None

    def start(self) -> None:
        """Accept associations from now on."""
        for listener in self._listeners():
            listener.start()

    def stop(self) -> None:
        """Close the ports and abort what is open."""
        for listener in self._listeners():
            listener.stop(_LAST_WORDS)

    def _listeners(self) -> list[Listener]:
        return [one for one in (self._plain, self._tls) if one is not None]

    # Called in the associations' threads

    def _intake(self, caller: Caller) -> Intake:
        sender = Association(
            calling_aet=caller.calling_aet,
            called_aet=caller.called_aet,
            peer_address=caller.address,
            opened_at=now(),
            priority=self._door.priority(caller),
        )
        durability = self._settings.durability
        return Intake(self._spool, self._announcer, self._pressure, sender, durability)
