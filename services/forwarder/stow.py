"""Sends files to a DICOMweb service with STOW-RS (PS3.18 10.5), several in a request."""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import BinaryIO

import httpx

from services.forwarder.association import data_set_start
from services.forwarder.outcome import Answer, Verdict, away
from services.forwarder.pace import Pace
from services.forwarder.parcels import Parcel, Peer
from services.forwarder.rest import Rest
from services.forwarder.stow_message import Body, said_of_each
from services.forwarder.transcoding import NotTranscodedError, Transcoder
from shared import dicomweb
from shared.credentials import CredentialsError
from shared.dimse.requestor import Proposal
from shared.dimse.tls import TlsError
from shared.errors import Reason
from shared.settings import Settings

_AT_ONCE = 50  # images in a request
_BYTES_AT_ONCE = 64 << 20
_LONGEST_ANSWER = 8 << 20  # bytes


class StowSender:
    """The connection to one DICOMweb service. Used by one thread at a time."""

    def __init__(
        self, settings: Settings, peer: Peer, transcoder: Transcoder, pace: Pace | None = None
    ) -> None:
        self._settings, self._peer = settings, peer
        self._transcoder, self._pace = transcoder, pace or Pace(0)
        self._client: httpx.Client | None = None
        self._refused: set[Proposal] = set()
        """SOP classes in transfer syntaxes that it has refused over this connection."""
        self._used_at = 0.0
        self._rest = Rest()

    def send(self, parcels: Sequence[Parcel]) -> dict[int, Answer]:
        """Send files in their order; the answer to each of them, by delivery id."""
        resting = self._rest.answer()
        if resting is not None:
            return {parcel.delivery_id: resting for parcel in parcels}
        answers: dict[int, Answer] = {}
        for some in _requests(parcels):
            began = time.monotonic()
            said = self._send(some)
            answers |= said
            last = said[some[-1].delivery_id]
            if self._rest.note(last, time.monotonic() - began):
                for other in parcels:
                    answers.setdefault(other.delivery_id, last)
                break
        self._rest.end_of_batch()
        self._used_at = time.monotonic()
        return answers

    def release_if_idle(self) -> None:
        """Close the connection when nothing was sent for a while."""
        if time.monotonic() - self._used_at >= self._settings.association_idle:
            self.release()

    def release(self) -> None:
        """Close the connection."""
        if self._client:
            self._client.close()
        self._client = None
        self._refused.clear()

    def _send(self, parcels: Sequence[Parcel]) -> dict[int, Answer]:
        """Send what fits in a request, and what its syntax is refused of in another one."""
        answers = self._store(
            [(one, None) for one in parcels if one.proposals()[0] not in self._refused]
        )
        for parcel in parcels:
            answer = answers.get(parcel.delivery_id)
            if answer is None or answer.reason is Reason.SYNTAX_REFUSED:
                answers[parcel.delivery_id] = self._send_copy(parcel, answer)
        return answers

    def _send_copy(self, parcel: Parcel, said: Answer | None) -> Answer:
        """Send an image in another transfer syntax than its own, which was refused."""
        own, *others = parcel.proposals(self._peer.transfer_syntax)
        answer = said or Answer(Verdict.REJECT, Reason.SYNTAX_REFUSED, parcel.kind)
        for syntax in (syntax for one in others for syntax in one.syntaxes):
            proposal = Proposal(parcel.sop_class_uid, (syntax,))
            if proposal in self._refused:
                continue
            try:
                with self._transcoder.copy(parcel.path, syntax) as copy, copy.open("rb") as file:
                    answer = self._store([(parcel, file)])[parcel.delivery_id]
            except NotTranscodedError as error:
                answer = error.answer
                if answer.verdict is Verdict.RETRY:
                    return answer
                continue
            if answer.reason is not Reason.SYNTAX_REFUSED:
                if answer.verdict is Verdict.DONE:
                    self._refused.add(own)  # so that the next one like it is not tried in vain
                return answer
            self._refused.add(proposal)
        return answer

    def _store(self, parcels: Sequence[tuple[Parcel, BinaryIO | None]]) -> dict[int, Answer]:
        """One request; files that can't be read are answered at once."""
        answers: dict[int, Answer] = {}
        with ExitStack() as stack:
            open_files: list[tuple[Parcel, BinaryIO]] = []
            for parcel, copy in parcels:
                try:
                    file = copy or stack.enter_context(parcel.path.open("rb", buffering=0))
                except FileNotFoundError:
                    answers[parcel.delivery_id] = Answer(Verdict.RETRY, Reason.SPOOL_FILE_MISSING)
                    continue
                if data_set_start(file) is None:
                    answers[parcel.delivery_id] = Answer(
                        Verdict.REJECT, Reason.UNREADABLE, "not a DICOM file"
                    )
                    continue
                open_files.append((parcel, file))
                self._pace.wait()
            if open_files:
                answers |= self._request(open_files)
        return answers

    def _request(self, files: Sequence[tuple[Parcel, BinaryIO]]) -> dict[int, Answer]:
        """One request, and then one for each image, where one of them may have spoilt it."""
        try:
            status, content = self._post(Body([file for _, file in files]))
        except (CredentialsError, TlsError) as error:
            said = away(str(error))
        except httpx.TimeoutException:
            said = away("no answer")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            said = away(f"no answer: {type(error).__name__}")
        except OSError as error:  # of the disk
            said = Answer(Verdict.RETRY, Reason.DISK_TROUBLE, error.strerror or "")
        else:
            answers, in_doubt = said_of_each(status, content, [parcel for parcel, _ in files])
            if in_doubt:
                for one in files:
                    if answers[one[0].delivery_id].verdict is not Verdict.DONE:
                        answers |= self._request([one])
            return answers
        return {parcel.delivery_id: said for parcel, _ in files}

    def _post(self, body: Body) -> tuple[int, bytes]:
        """Status and content of the answer; of a long one as much as is taken."""
        if self._client is None:
            self._client = dicomweb.client(self._settings, self._peer.url, self._peer.credentials)
        headers = {"Accept": dicomweb.JSON} | body.headers
        with self._client.stream(
            "POST", "/studies", content=body.pieces(), headers=headers
        ) as answer:
            return answer.status_code, _read(answer.iter_bytes())


def _requests(parcels: Iterable[Parcel]) -> Iterator[list[Parcel]]:
    """Parcels in their order, as many as go in one request each."""
    some: list[Parcel] = []
    size = 0
    for parcel in parcels:
        length = _length(parcel)
        if some and (len(some) >= _AT_ONCE or size + length > _BYTES_AT_ONCE):
            yield some
            some, size = [], 0
        some.append(parcel)
        size += length
    if some:
        yield some


def _length(parcel: Parcel) -> int:
    try:
        return parcel.path.stat().st_size
    except OSError:
        return 0


def _read(pieces: Iterator[bytes]) -> bytes:
    content = b""
    for piece in pieces:
        content += piece
        if len(content) > _LONGEST_ANSWER:
            return b""  # nobody says so much about fifty images
    return content
