"""Storage Commitment Push Model SCU: reports on what the forwarder asked research PACS to keep.

A PACS reports over an association of its own, to where images are received (PS3.4 J.3.3).
"""

import asyncio
from io import BytesIO

from pydicom.uid import ImplicitVRLittleEndian
from pynetdicom.dsutils import decode

from shared import telemetry
from shared.dimse import messages
from shared.dimse.commitment import PUSH_MODEL_INSTANCE, Report, read_report
from shared.dimse.messages import Answer, Channel, Handler, Message
from shared.errors import Retry
from shared.ledger import Ledger
from shared.ledger.inquiries import answered

log = telemetry.logger("commitment")


class Reports:
    """Takes reports on the associations' threads.

    Parameters
    ----------
    loop
        Where the ledger is used.
    patience
        Seconds for the ledger to answer.
    """

    def __init__(self, ledger: Ledger, loop: asyncio.AbstractEventLoop, patience: float) -> None:
        self._ledger, self._loop, self._patience = ledger, loop, patience
        self.handlers: dict[int, Handler] = {messages.N_EVENT_REPORT_RQ: self._reported}

    def _reported(self, message: Message, channel: Channel) -> Answer | None:
        if message.command.uid(messages.AFFECTED_SOP_INSTANCE_UID) != PUSH_MODEL_INSTANCE:
            return Answer(messages.NO_SUCH_SOP_INSTANCE)
        try:
            implicit = message.context.transfer_syntax == ImplicitVRLittleEndian
            report = read_report(decode(BytesIO(message.data_set), implicit, True))
        except Exception:  # whatever a reader meets in garbage
            return Answer(messages.INVALID_ARGUMENT_VALUE, "the report can't be read")
        future = asyncio.run_coroutine_threadsafe(self._note(report), self._loop)
        try:
            known = future.result(self._patience)
        except (Retry, TimeoutError):
            future.cancel()
            return Answer(messages.PROCESSING_FAILURE, "Sluse can't note the report now")
        if not known:
            return Answer(messages.INVALID_ARGUMENT_VALUE, "Sluse does not wait for this report")
        log.info("storage commitment answered", safe=len(report.safe), lost=len(report.lost))
        return Answer(messages.SUCCESS)

    async def _note(self, report: Report) -> bool:
        async with self._ledger.transaction() as connection:
            return await answered(connection, report.transaction_uid, report.safe, report.lost)
