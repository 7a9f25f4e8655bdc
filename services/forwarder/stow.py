"""Sends files to a DICOMweb service with STOW-RS (PS3.18 10.5), several in a request."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import BinaryIO

import httpx

from services.forwarder.association import data_set_start
from services.forwarder.outcome import Answer, Verdict, away
from services.forwarder.pace import Pace
from services.forwarder.parcels import Parcel, Peer
from services.forwarder.rest import LATER, Rest
from services.forwarder.stow_message import Body, said_of_each
from services.forwarder.transcoding import NotTranscodedError, Transcoder
from shared import dicomweb
from shared.credentials import CredentialsError
from shared.dimse.requestor import Proposal
from shared.dimse.tls import TlsError
from shared.errors import Reason
from shared.settings import Settings

_AT_ONCE = 50  # images in a request, at most
_BYTES_AT_ONCE = 64 << 20
_LONGEST_ANSWER = 8 << 20  # bytes
_RENEWED = 60.0  # seconds; secrets and certificates are read anew then

_Files = Sequence[tuple[Parcel, BinaryIO]]


class StowSender:
    """The connection to one DICOMweb service. Used by one thread at a time."""

    def __init__(
        self, settings: Settings, peer: Peer, transcoder: Transcoder, pace: Pace | None = None
    ) -> None:
        self._settings, self._peer = settings, peer
        self._transcoder, self._pace = transcoder, pace or Pace(0)
        self._client: httpx.Client | None = None
        self._opened_at = 0.0
        self._at_once = _AT_ONCE
        """Less where it did not answer to more."""
        self._refused: set[Proposal] = set()
        """SOP classes in transfer syntaxes that it has refused over this connection."""
        self._used_at = 0.0
        self._rest = Rest()

    def send(self, parcels: Sequence[Parcel]) -> dict[int, Answer]:
        """Send files in their order; the answer to each of them, by delivery id."""
        resting = self._rest.begin_batch()
        if resting is not None:
            return {parcel.delivery_id: resting for parcel in parcels}
        if time.monotonic() - self._opened_at > _RENEWED:
            self._close()
        answers: dict[int, Answer] = {}
        for some in _requests(parcels, lambda: self._at_once):
            if self._rest.is_late():
                answers |= _all(some, LATER)
                continue
            began = time.monotonic()
            answers |= self._send(some)
            last = answers[some[-1].delivery_id]
            if self._rest.note(last, time.monotonic() - began):
                for other in parcels:
                    answers.setdefault(other.delivery_id, last)
                break
        self._rest.end_batch()
        self._used_at = time.monotonic()
        return answers

    def release_if_idle(self) -> None:
        """Close the connection when nothing was sent for a while."""
        if time.monotonic() - self._used_at >= self._settings.association_idle:
            self.release()

    def release(self) -> None:
        """Close the connection."""
        self._close()
        self._refused.clear()

    def _close(self) -> None:
        if self._client:
            self._client.close()
        self._client = None

    def _send(self, parcels: Sequence[Parcel]) -> dict[int, Answer]:
        """Send what fits in a request, and what its syntax is refused of in another one."""
        answers = self._store(
            [(one, None) for one in parcels if one.proposals()[0] not in self._refused]
        )
        broken = _Broken()
        for parcel in parcels:
            answer = answers.get(parcel.delivery_id)
            if answer is None or answer.reason is Reason.SYNTAX_REFUSED:
                answer = broken.answer or self._send_copy(parcel, answer)
                answers[parcel.delivery_id] = broken.note(answer)
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
            files: list[tuple[Parcel, BinaryIO]] = []
            for parcel, copy in parcels:
                try:
                    file = copy or stack.enter_context(parcel.path.open("rb", buffering=0))
                    is_dicom = data_set_start(file) is not None
                except FileNotFoundError:
                    answers[parcel.delivery_id] = Answer(Verdict.RETRY, Reason.SPOOL_FILE_MISSING)
                except OSError as error:
                    answers[parcel.delivery_id] = _disk(error)
                else:
                    if is_dicom:
                        files.append((parcel, file))
                    else:
                        answers[parcel.delivery_id] = Answer(
                            Verdict.REJECT, Reason.UNREADABLE, "not a DICOM file"
                        )
            if files:
                answers |= self._request(files)
        return answers

    def _request(self, files: _Files) -> dict[int, Answer]:
        """One request, and then one for each image, where one of them may have spoilt it."""
        parcels = [parcel for parcel, _ in files]
        for _ in files:
            self._pace.wait()
        try:
            status, content = self._post(Body([file for _, file in files]))
        except (CredentialsError, TlsError) as error:
            return _all(parcels, away(str(error)))
        except httpx.HTTPError as error:
            return self._unanswered(files, error)
        except httpx.InvalidURL:
            return _all(parcels, away("its address is none"))
        except OSError as error:
            return _all(parcels, _disk(error))
        answers, in_doubt = said_of_each(status, content, parcels)
        if status in (401, 403):
            self._close()  # what it is shown next time may be newer
        self._at_once = min(2 * self._at_once, _AT_ONCE)
        if in_doubt:
            doubtful = [
                one for one in files if answers[one[0].delivery_id].verdict is not Verdict.DONE
            ]
            answers |= self._one_by_one(doubtful)
        return answers

    def _unanswered(self, files: _Files, error: httpx.HTTPError) -> dict[int, Answer]:
        """Nobody there, too much at once, or one image that it can't bear."""
        self._close()
        slow = isinstance(error, httpx.TimeoutException)
        said = away("no answer" if slow else f"no answer: {type(error).__name__}")
        if len(files) == 1 or isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return _all([parcel for parcel, _ in files], said)
        self._at_once = max(len(files) // 2, 1)
        return self._one_by_one(files)

    def _one_by_one(self, files: _Files) -> dict[int, Answer]:
        """A request for each image, as long as there are answers."""
        answers: dict[int, Answer] = {}
        broken = _Broken()
        for one in files:
            if broken.answer is not None:
                answers[one[0].delivery_id] = broken.answer
            elif self._rest.is_late():
                answers[one[0].delivery_id] = LATER
            else:
                answers |= self._request([one])
                broken.note(answers[one[0].delivery_id])
        return answers

    def _post(self, body: Body) -> tuple[int, bytes]:
        """Status and content of the answer; of a long one as much as is taken."""
        if self._client is None:
            self._client = dicomweb.client(self._settings, self._peer.url, self._peer.credentials)
            self._opened_at = time.monotonic()
        headers = {"Accept": dicomweb.JSON} | body.headers
        with self._client.stream(
            "POST", "/studies", content=body.pieces(), headers=headers
        ) as answer:
            deadline = time.monotonic() + self._settings.network_timeout
            return answer.status_code, _read(answer, deadline)


class _Broken:
    """Two images after each other without an answer: then it is not the images' fault."""

    def __init__(self) -> None:
        self.answer: Answer | None = None
        """What the others get without being tried."""
        self._before = False

    def note(self, answer: Answer) -> Answer:
        """Note an answer, which is handed back."""
        gone = answer.reason is Reason.DESTINATION_AWAY
        if answer.reason is Reason.DESTINATION_DENIED or (gone and self._before):
            self.answer = answer
        self._before = gone
        return answer


def _all(parcels: Iterable[Parcel], answer: Answer) -> dict[int, Answer]:
    return {parcel.delivery_id: answer for parcel in parcels}


def _disk(error: OSError) -> Answer:
    return Answer(Verdict.RETRY, Reason.DISK_TROUBLE, error.strerror or "")


def _requests(parcels: Iterable[Parcel], at_once: Callable[[], int]) -> Iterator[list[Parcel]]:
    """Parcels in their order, as many as go in one request each."""
    some: list[Parcel] = []
    size = 0
    for parcel in parcels:
        length = _length(parcel)
        if some and (len(some) >= at_once() or size + length > _BYTES_AT_ONCE):
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


def _read(answer: httpx.Response, deadline: float) -> bytes:
    """The content of an answer; of one that says too much what no service says."""
    content = b""
    for piece in answer.iter_bytes():
        content += piece
        if time.monotonic() > deadline:
            raise httpx.ReadTimeout("the answer never ends")
        if len(content) > _LONGEST_ANSWER:
            return b"too long"
    return content
