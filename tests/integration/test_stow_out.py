"""The forwarder against DICOMweb services: Orthanc's, and ones that answer as they are told."""

import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.uid import JPEG2000Lossless

from demo.phantoms import Maker
from services.forwarder.outcome import Answer, Verdict
from services.forwarder.parcels import Parcel, Peer
from services.forwarder.stow import StowSender
from services.forwarder.transcoding import Transcoder
from shared.errors import Reason
from shared.ledger.states import Protocol
from shared.settings import Settings, embedded
from shared.spool import Spool
from tests.certificates import Authority
from tests.corpus import all_files, read
from tests.servers.common import free_port
from tests.servers.orthanc import Orthanc
from tests.servers.webpacs import Asked, Reply, WebPacs, stored, web_pacs

BY_NAME = {path.name: path for path in all_files()}
AWAY, BUSY, DENIED = (
    Reason.DESTINATION_AWAY, Reason.DESTINATION_BUSY, Reason.DESTINATION_DENIED
)  # fmt: skip
REFUSED, SYNTAX = Reason.DESTINATION_REFUSED, Reason.SYNTAX_REFUSED


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = embedded(tmp_path / "data", network_timeout=20, instance_timeout=20)
    Spool(made.spool_path).prepare()
    return made


@pytest.fixture
def transcoder(settings: Settings) -> Iterator[Transcoder]:
    found = Transcoder(settings)
    yield found
    found.close()


@pytest.fixture
def send(settings: Settings, transcoder: Transcoder) -> Any:
    """Send parcels to an address; the answers in their order."""

    def send(
        url: str, some: list[Parcel], sender: StowSender | None = None, **treatment: Any
    ) -> list[Answer]:
        peer = Peer(1, protocol=Protocol.DICOMWEB, url=url, **treatment)
        used = sender or StowSender(settings, peer, transcoder)
        answers = used.send(some)
        if sender is None:
            used.release()
        return [answers[one.delivery_id] for one in some]

    return send


def parcel(number: int, path: Path) -> Parcel:
    image = pydicom.dcmread(path)
    return Parcel(number, path, str(image.SOPClassUID), str(image.SOPInstanceUID),
                  str(image.file_meta.TransferSyntaxUID))  # fmt: skip


def parcels(folder: Path, count: int = 3, seed: int = 1) -> list[Parcel]:
    found = []
    for number, image in enumerate(Maker(seed, size=32).ct(count).instances, start=1):
        path = folder / f"{number}.dcm"
        pydicom.dcmwrite(path, image, enforce_file_format=True)
        found.append(parcel(number, path))
    return found


def uid_of(part: bytes) -> str:
    return str(pydicom.dcmread(BytesIO(part), stop_before_pixels=True).SOPInstanceUID)


def all_stored(asked: Asked) -> Reply:
    return 200, stored({uid_of(part): None for part in asked.parts})


# With Orthanc


@pytest.mark.parametrize("name", ["CT_small.dcm", "JPEG2000.dcm", "SC_rgb_rle_2frame.dcm",
                                  "reportsi.dcm", "waveform_ecg.dcm"])  # fmt: skip
def test_orthanc_takes_what_is_there(send: Any, research_pacs: Orthanc, name: str) -> None:
    one = parcel(1, BY_NAME[name])
    for _ in range(2):  # the second time it has it already
        assert send(research_pacs.dicomweb, [one]) == [Answer(Verdict.DONE)]
    (held,) = research_pacs.find_instances(SOPInstanceUID=one.sop_instance_uid)
    there = pydicom.dcmread(BytesIO(research_pacs.file(held["ID"])))
    original = read(one.path)
    assert there.file_meta.TransferSyntaxUID == one.transfer_syntax_uid
    assert there.get("PixelData") == original.get("PixelData")
    assert there.to_json() == original.to_json()


def test_many_go_in_several_requests(
    send: Any, research_pacs: Orthanc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.forwarder.stow._AT_ONCE", 3)
    some = parcels(tmp_path, 8, seed=77)
    assert {one.verdict for one in send(research_pacs.dicomweb, some)} == {Verdict.DONE}
    study = pydicom.dcmread(some[0].path).StudyInstanceUID
    held = research_pacs.find_instances(StudyInstanceUID=study)
    assert {one["MainDicomTags"]["SOPInstanceUID"] for one in held} == {
        one.sop_instance_uid for one in some
    }


# With services that answer as they are told


def test_several_go_in_one_request_byte_for_byte(send: Any, tmp_path: Path) -> None:
    some = parcels(tmp_path)
    with web_pacs(all_stored) as pacs:
        assert send(pacs.url, some) == [Answer(Verdict.DONE)] * 3
    (asked,) = pacs.asked
    assert (asked.method, asked.path) == ("POST", "/dicom-web/studies")
    assert asked.headers["Accept"] == "application/dicom+json"
    assert "Authorization" not in asked.headers
    assert asked.parts == [one.path.read_bytes() for one in some]


@pytest.mark.parametrize(
    ("status", "verdict", "reason"),
    [(400, "reject", REFUSED), (401, "retry", DENIED), (403, "retry", DENIED),
     (404, "retry", AWAY), (409, "reject", REFUSED), (413, "reject", REFUSED),
     (415, "reject", SYNTAX), (429, "retry", BUSY), (500, "retry", BUSY), (503, "retry", AWAY),
     (507, "retry", BUSY), (301, "retry", AWAY), (204, "retry", AWAY), (202, "done", None)],
)  # fmt: skip
def test_every_status_has_its_consequence(
    send: Any, tmp_path: Path, status: int, verdict: str, reason: Reason | None
) -> None:
    def answer(_: Asked) -> Reply:
        return status, b"" if status in (202, 204) else b"<html>no</html>"

    with web_pacs(answer) as pacs:
        pacs.headers["Location"] = "http://127.0.0.1:9/elsewhere"
        (said,) = send(pacs.url, parcels(tmp_path, 1))
    assert (said.verdict, said.reason) == (verdict, reason)
    assert said.detail.startswith(f"HTTP {status} ")


def test_what_is_refused_is_named_and_the_others_are_there(send: Any, tmp_path: Path) -> None:
    some = parcels(tmp_path, 4)
    first, second, third, fourth = (one.sop_instance_uid for one in some)

    def answer(_: Asked) -> Reply:
        return 202, stored({first: None, second: 0xB000}, {third: 0xA900, fourth: 0x0110})

    with web_pacs(answer) as pacs:
        answers = send(pacs.url, some)
    assert len(pacs.asked) == 1, "nobody is in doubt"
    assert [(one.verdict, one.reason) for one in answers] == [
        ("done", None), ("done", None), ("reject", REFUSED), ("retry", BUSY)
    ]  # fmt: skip
    assert answers[1].detail == "B000 warning: coercion of data elements"
    assert answers[2].detail == "A900 data set does not match SOP class"


@pytest.mark.parametrize("status", [400, 409, 413, 500, 202])
def test_an_image_that_spoils_a_request_does_not_spoil_its_neighbours(
    send: Any, tmp_path: Path, status: int
) -> None:
    some = parcels(tmp_path)
    bad = some[1].sop_instance_uid

    def answer(asked: Asked) -> Reply:
        if bad in map(uid_of, asked.parts):
            return status, b""
        return all_stored(asked)

    with web_pacs(answer) as pacs:
        answers = send(pacs.url, some)
    assert [one.verdict for one in answers[::2]] == [Verdict.DONE] * 2
    assert answers[1].detail.startswith(f"HTTP {status}")
    assert len(pacs.asked) == 4


@pytest.mark.parametrize(
    ("content", "verdict"),
    [(b"", "done"), (b"[]", "done"), (b"{}", "done"), (b"<NativeDicomModel/>", "done"),
     (b'{"00081199": {"Value": [{"00081155": {}, "00081196": {"Value": ["x"]}}]}}', "done"),
     (b"<html>Please sign in</html>", "retry"), (b"[1]", "retry"), (b"{", "retry"),
     (b'{"00081198": 7}', "retry"), (b'{"00081198": {"Value": [7]}}', "retry"), (b"null", "retry"),
     (b'{"00081198": {"Value": [{"00081155": {"Value": 7}}]}}', "retry"), (b"\xff", "retry"),
     (b"[" * 100_000, "retry"), (b" " * (20 << 20), "retry")],
)  # fmt: skip
def test_what_is_no_answer_to_stow_is_not_taken_for_one(
    send: Any, tmp_path: Path, content: bytes, verdict: str
) -> None:
    with web_pacs(lambda _: (200, content)) as pacs:
        answers = send(pacs.url, parcels(tmp_path, 2))
    assert [one.verdict for one in answers] == [verdict] * 2
    with web_pacs(lambda _: (409, content)) as pacs:
        (said,) = send(pacs.url, parcels(tmp_path, 1))
        assert (said.verdict, said.reason) == (Verdict.REJECT, REFUSED)


def test_what_an_answer_leaves_out_goes_alone(send: Any, tmp_path: Path) -> None:
    def answer(asked: Asked) -> Reply:
        return 200, stored({uid_of(asked.parts[0]): None})

    with web_pacs(answer) as pacs:
        assert send(pacs.url, parcels(tmp_path)) == [Answer(Verdict.DONE)] * 3
    assert [len(one.parts) for one in pacs.asked] == [3, 1, 1]


@pytest.mark.parametrize("code", [0x0111, 0xB00E])
def test_what_is_there_already_has_not_failed(send: Any, tmp_path: Path, code: int) -> None:
    (one,) = parcels(tmp_path, 1)
    with web_pacs(lambda _: (409, stored({}, {one.sop_instance_uid: code}))) as pacs:
        (said,) = send(pacs.url, [one])
    assert said == Answer(Verdict.DONE, None, f"{code:04X} warning: has it already")


def test_a_service_that_is_slow_gets_fewer_at_once(
    settings: Settings, transcoder: Transcoder, send: Any, tmp_path: Path
) -> None:
    def answer(asked: Asked) -> Reply:
        time.sleep(0.2 * len(asked.parts))
        return all_stored(asked)

    hasty = settings.model_copy(update={"network_timeout": 1.0})
    with web_pacs(answer) as pacs:
        sender = StowSender(hasty, Peer(1, protocol=Protocol.DICOMWEB, url=pacs.url), transcoder)
        answers = send(pacs.url, parcels(tmp_path, 8), sender)
        sender.release()
    assert {one.verdict for one in answers} == {Verdict.DONE}


def test_an_image_that_a_service_can_not_bear_stops_no_other(send: Any, tmp_path: Path) -> None:
    some = parcels(tmp_path, 5)
    poison = some[2].sop_instance_uid

    def answer(asked: Asked) -> Reply:
        if poison in map(uid_of, asked.parts):
            raise ConnectionResetError
        return all_stored(asked)

    with web_pacs(answer) as pacs:
        answers = send(pacs.url, some)
    assert [one.verdict for one in answers] == ["done", "done", "retry", "done", "done"]
    assert answers[2].reason is AWAY


def test_a_service_that_goes_away_meanwhile_is_not_waited_for(
    settings: Settings, transcoder: Transcoder, send: Any, tmp_path: Path
) -> None:
    def answer(asked: Asked) -> Reply:
        if len(asked.parts) > 1:
            return 500, b""
        time.sleep(3)
        return all_stored(asked)

    hasty = settings.model_copy(update={"network_timeout": 0.5})
    began = time.monotonic()
    with web_pacs(answer) as pacs:
        sender = StowSender(hasty, Peer(1, protocol=Protocol.DICOMWEB, url=pacs.url), transcoder)
        answers = send(pacs.url, parcels(tmp_path, 20), sender)
        sender.release()
    assert {one.reason for one in answers} == {AWAY}
    assert time.monotonic() - began < 5 and len(pacs.asked) == 3


def test_nobody_there_is_said_once(send: Any, tmp_path: Path) -> None:
    answers = send(f"http://127.0.0.1:{free_port()}/dicom-web", parcels(tmp_path))
    assert {(one.verdict, one.reason, one.detail) for one in answers} == {
        (Verdict.RETRY, AWAY, "no answer: ConnectError")
    }


def test_one_that_hangs_is_left_alone(
    settings: Settings, transcoder: Transcoder, send: Any, tmp_path: Path
) -> None:
    hasty = settings.model_copy(update={"network_timeout": 2.2})
    some = parcels(tmp_path)
    with web_pacs(_sleepy) as pacs:
        peer = Peer(1, protocol=Protocol.DICOMWEB, url=pacs.url)
        sender = StowSender(hasty, peer, transcoder)
        for _ in range(2):
            assert {one.detail for one in send(pacs.url, some, sender)} == {"no answer"}
        sender.release()
    assert len(pacs.asked) == 3, "together, and two alone"


def _sleepy(_: Asked) -> Reply:
    time.sleep(4)
    return 200, b""


def test_what_is_no_image_or_gone_stops_nobody(send: Any, tmp_path: Path) -> None:
    some = parcels(tmp_path)
    some[0].path.unlink()
    some[1].path.write_bytes(bytes(300))
    with web_pacs(all_stored) as pacs:
        answers = send(pacs.url, some)
    assert [one.reason for one in answers] == [
        Reason.SPOOL_FILE_MISSING, Reason.UNREADABLE, None
    ]  # fmt: skip
    assert len(pacs.asked[0].parts) == 1


# Other transfer syntaxes


def only(syntax: str, refusal: Any) -> Any:
    def answer(asked: Asked) -> Reply:
        files = [pydicom.dcmread(BytesIO(part)) for part in asked.parts]
        if all(one.file_meta.TransferSyntaxUID == syntax for one in files):
            return all_stored(asked)
        return refusal([one.SOPInstanceUID for one in files])  # type: ignore[no-any-return]

    return answer


@pytest.mark.parametrize(
    "refusal",
    [lambda _: (415, b""), lambda uids: (409, stored({}, dict.fromkeys(uids, 0xC122)))],
)
@pytest.mark.parametrize("preferred", ["", JPEG2000Lossless])
def test_a_syntax_that_is_refused_is_not_tried_again(
    settings: Settings, transcoder: Transcoder, send: Any, refusal: Any, preferred: str
) -> None:
    one = parcel(1, BY_NAME["MR_small_RLE.dcm"])
    wanted = preferred or "1.2.840.10008.1.2"
    with web_pacs(only(wanted, refusal)) as pacs:
        peer = Peer(1, protocol=Protocol.DICOMWEB, url=pacs.url, transfer_syntax=preferred)
        sender = StowSender(settings, peer, transcoder)
        assert send(pacs.url, [one], sender) == [Answer(Verdict.DONE)]
        tried = len(pacs.asked)
        assert send(pacs.url, [one], sender) == [Answer(Verdict.DONE)]
        sender.release()
    assert len(pacs.asked) == tried + 1
    assert list((settings.spool_path / "tmp").iterdir()) == []


def test_what_is_taken_in_no_form_fails_with_a_reason(send: Any) -> None:
    with web_pacs(lambda _: (415, b"")) as pacs:
        (said,) = send(pacs.url, [parcel(1, BY_NAME["MR_small_RLE.dcm"])])
    assert (said.verdict, said.reason) == (Verdict.REJECT, SYNTAX)
    assert len(pacs.asked) == 3


# Secrets


def folder_of(settings: Settings, tmp_path: Path, **files: str) -> Settings:
    folder = tmp_path / "secrets" / "pacs"
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name.replace("_", ".")).write_text(content)
    return settings.model_copy(update={"pacs_credentials": folder.parent})


@pytest.mark.parametrize(
    ("said", "header"),
    [("Bearer abc.def\n", "Bearer abc.def"), ("Basic eDp5", "Basic eDp5"),
     ("sluse:p\u00e5ss:word", "Basic c2x1c2U6cMOlc3M6d29yZA==")],
)  # fmt: skip
def test_a_service_gets_its_own_credentials(
    settings: Settings, transcoder: Transcoder, tmp_path: Path, said: str, header: str
) -> None:
    settings = folder_of(settings, tmp_path, authorization=said)
    with web_pacs(all_stored) as pacs:
        peer = Peer(1, protocol=Protocol.DICOMWEB, url=pacs.url, credentials="pacs")
        sender = StowSender(settings, peer, transcoder)
        assert sender.send(parcels(tmp_path, 1)) == {1: Answer(Verdict.DONE)}
        sender.release()
    assert pacs.asked[0].headers["Authorization"] == header


def test_a_renewed_token_is_used_at_once(
    settings: Settings, transcoder: Transcoder, send: Any, tmp_path: Path
) -> None:
    settings = folder_of(settings, tmp_path, authorization="Bearer old")

    def answer(asked: Asked) -> Reply:
        return all_stored(asked) if asked.headers["Authorization"] == "Bearer new" else (401, b"")

    with web_pacs(answer) as pacs:
        peer = Peer(1, protocol=Protocol.DICOMWEB, url=pacs.url, credentials="pacs")
        sender = StowSender(settings, peer, transcoder)
        some = parcels(tmp_path)
        assert {one.reason for one in send(pacs.url, some, sender)} == {DENIED}
        (tmp_path / "secrets/pacs/authorization").write_text("Bearer new")
        assert {one.verdict for one in send(pacs.url, some, sender)} == {Verdict.DONE}
        sender.release()


@pytest.mark.parametrize(
    ("url", "hosts", "complaint"),
    [("http://pacs.local/d", None,
      "credentials go over https only, or to those in the file hosts"),
     ("https://elsewhere/d", "pacs.local", "these credentials are not for elsewhere"),
     ("http://127.0.0.1:1/d", "pacs.local other", "these credentials are not for 127.0.0.1")],
)  # fmt: skip
def test_credentials_go_only_where_they_belong(
    settings: Settings, transcoder: Transcoder, tmp_path: Path, url: str, hosts: str | None,
    complaint: str,
) -> None:  # fmt: skip
    settings = folder_of(settings, tmp_path, authorization="a:b")
    if hosts is not None:
        (tmp_path / "secrets/pacs/hosts").write_text(hosts)
    peer = Peer(1, protocol=Protocol.DICOMWEB, url=url, credentials="pacs")
    (answer,) = StowSender(settings, peer, transcoder).send(parcels(tmp_path, 1)).values()
    assert (answer.verdict, answer.detail) == (Verdict.RETRY, complaint)


@pytest.mark.parametrize(
    ("said", "complaint"),
    [("", "the file authorization must hold one line"),
     ("Bearer a\nX: y", "the file authorization must hold one line"),
     ("Bearer \u00e5", "the file authorization holds what no token has"),
     ("abc", "write user:password or Bearer … into the file authorization")],
)  # fmt: skip
def test_credentials_that_are_none_are_complained_of(
    settings: Settings, transcoder: Transcoder, tmp_path: Path, said: str, complaint: str
) -> None:
    settings = folder_of(settings, tmp_path, authorization=said)
    peer = Peer(1, protocol=Protocol.DICOMWEB, url="http://127.0.0.1:1", credentials="pacs")
    (answer,) = StowSender(settings, peer, transcoder).send(parcels(tmp_path, 1)).values()
    assert (answer.verdict, answer.detail) == (Verdict.RETRY, complaint)


def test_credentials_that_are_not_there_are_complained_of(
    settings: Settings, transcoder: Transcoder, tmp_path: Path
) -> None:
    peer = Peer(1, protocol=Protocol.DICOMWEB, url="http://127.0.0.1:1", credentials="other")
    one = parcels(tmp_path, 1)
    (answer,) = StowSender(settings, peer, transcoder).send(one).values()
    assert answer.detail == "SLUSE_PACS_CREDENTIALS does not say where credentials are"
    settings = folder_of(settings, tmp_path)
    (answer,) = StowSender(settings, peer, transcoder).send(one).values()
    assert answer.detail == "there are no credentials 'other' in SLUSE_PACS_CREDENTIALS"


def test_a_service_has_an_authority_of_its_own(
    settings: Settings, transcoder: Transcoder, tmp_path: Path
) -> None:
    hospital, stranger = Authority(tmp_path, "hospital"), Authority(tmp_path, "stranger")
    settings = folder_of(settings, tmp_path, ca_pem=hospital.certificate.read_text())
    settings = settings.model_copy(update={"pacs_tls_ca": stranger.certificate})
    one = parcels(tmp_path, 1)

    def sent_to(pacs: WebPacs, credentials: str) -> Answer:
        peer = Peer(1, protocol=Protocol.DICOMWEB, url=pacs.url, credentials=credentials)
        sender = StowSender(settings, peer, transcoder)
        (answer,) = sender.send(one).values()
        sender.release()
        return answer

    with web_pacs(all_stored, hospital.issue("pacs")) as pacs:
        assert sent_to(pacs, "pacs") == Answer(Verdict.DONE)
        assert sent_to(pacs, "").detail == "no answer: ConnectError"
