"""An image whose transfer syntax a PACS refuses goes uncompressed, and nothing of it is lost."""

import os
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.pixels import pixel_array
from pydicom.uid import (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    RLELossless,
)
from pynetdicom import AE, evt

from services.forwarder import transcoding
from services.forwarder.dimse import DimseSender
from services.forwarder.outcome import Answer, Verdict
from services.forwarder.parcels import Parcel, Peer
from services.forwarder.transcoding import NotTranscodedError, Transcoder
from shared.errors import Reason
from shared.settings import Settings, embedded
from shared.spool import Spool
from tests.corpus import all_files, read

BY_NAME = {path.name: path for path in all_files()}
SAMPLES = {
    "JPEG baseline": "SC_rgb_jpeg_dcmtk.dcm",
    "JPEG lossless": "SC_rgb_jpeg_gdcm.dcm",
    "JPEG-LS": "MR_small_jpeg_ls_lossless.dcm",
    "JPEG 2000": "MR_small_jp2klossless.dcm",
    "RLE": "MR_small_RLE.dcm",
    "several frames": "SC_rgb_rle_2frame.dcm",
    "deflated": "image_dfl.dcm",
}


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
    assert list((settings.spool_path / "tmp").iterdir()) == []


class Pacs:
    """Takes everything, in some transfer syntaxes only."""

    def __init__(self, sop_class: str, syntaxes: list[str]) -> None:
        self.got: list[pydicom.Dataset] = []
        self._entity = AE("PACS")
        self._entity.add_supported_context(sop_class, syntaxes)
        self._server = self._entity.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)]
        )
        self.port: int = self._server.server_address[1]

    def _store(self, event: Any) -> int:
        self.got.append(pydicom.dcmread(BytesIO(event.encoded_dataset())))
        return 0

    def close(self) -> None:
        self._entity.shutdown()


def parcel(path: Path) -> Parcel:
    data_set = read(path)
    return Parcel(
        1, path, str(data_set.SOPClassUID), str(data_set.SOPInstanceUID),
        str(data_set.file_meta.TransferSyntaxUID),
    )  # fmt: skip


def send(
    settings: Settings, transcoder: Transcoder, pacs: Pacs, one: Parcel, preferred: str = ""
) -> Answer:
    place = Peer(1, "PACS", "127.0.0.1", pacs.port, transfer_syntax=preferred)
    sender = DimseSender(settings, place, transcoder)
    try:
        return sender.send([one])[1]
    finally:
        sender.release()
        pacs.close()


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize("kind", SAMPLES)
def test_nothing_is_lost(
    settings: Settings, transcoder: Transcoder, kind: str, syntax: str
) -> None:
    one = parcel(BY_NAME[SAMPLES[kind]])
    pacs = Pacs(one.sop_class_uid, [syntax])
    assert send(settings, transcoder, pacs, one).verdict is Verdict.DONE
    (copy,) = pacs.got
    original = read(one.path)
    assert copy.file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(copy.pixel_array, original.pixel_array)
    changed = {"PixelData", "PhotometricInterpretation", "PlanarConfiguration"}
    for element in original:
        if element.keyword not in changed:
            assert copy[element.tag].value == element.value, element.tag


def test_an_image_that_is_taken_as_it_is_is_not_touched(
    settings: Settings, transcoder: Transcoder
) -> None:
    one = parcel(BY_NAME[SAMPLES["JPEG-LS"]])
    pacs = Pacs(one.sop_class_uid, [ExplicitVRLittleEndian, one.transfer_syntax_uid])
    assert send(settings, transcoder, pacs, one).verdict is Verdict.DONE
    assert pacs.got[0].file_meta.TransferSyntaxUID == one.transfer_syntax_uid
    assert pacs.got[0].PixelData == read(one.path).PixelData


def test_what_can_not_be_decoded_fails_with_a_reason(
    settings: Settings, transcoder: Transcoder, tmp_path: Path
) -> None:
    content = bytearray(BY_NAME[SAMPLES["JPEG 2000"]].read_bytes())
    start = content.index(b"\xff\x4f\xff\x51")  # of the code stream
    content[start : start + 400] = os.urandom(400)
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(content)
    pacs = Pacs(parcel(broken).sop_class_uid, [ExplicitVRLittleEndian])
    answer = send(settings, transcoder, pacs, parcel(broken))
    assert (answer.verdict, answer.reason) == (Verdict.REJECT, Reason.SYNTAX_REFUSED)
    assert answer.detail.startswith("can't be decoded") and pacs.got == []


@pytest.mark.parametrize(
    ("name", "twin"),
    [("MR_small_bigendian.dcm", "MR_small.dcm"), ("rtdose_expb.dcm", "rtdose.dcm"),
     ("liver_expb_1frame.dcm", "liver_1frame.dcm"), ("ExplVR_BigEnd.dcm", ""),
     ("SC_rgb_small_odd_big_endian.dcm", "SC_rgb_small_odd.dcm")],
)  # fmt: skip
def test_big_endian_is_turned_round(
    settings: Settings, transcoder: Transcoder, name: str, twin: str
) -> None:
    """Explicit VR Big Endian is retired (PS3.5 A.3), and there are archives full of it."""
    original = read(BY_NAME[name])
    pacs = Pacs(str(original.SOPClassUID), [ExplicitVRLittleEndian])
    assert send(settings, transcoder, pacs, parcel(BY_NAME[name])).verdict is Verdict.DONE
    (copy,) = pacs.got
    assert np.array_equal(copy.pixel_array, original.pixel_array)
    if twin in BY_NAME:  # the same image, as others have written it
        assert np.array_equal(copy.pixel_array, read(BY_NAME[twin]).pixel_array)
    for element in original:
        if element.VR not in ("OW", "SQ") and element.tag.element:
            assert copy[element.tag].value == element.value, element.tag


@pytest.mark.parametrize(
    ("kind", "preferred"),
    [("several frames", JPEG2000Lossless), ("JPEG-LS", JPEG2000Lossless),
     ("JPEG-LS", RLELossless), ("JPEG baseline", RLELossless)],
)  # fmt: skip
def test_a_destination_gets_the_syntax_that_it_prefers(
    settings: Settings, transcoder: Transcoder, kind: str, preferred: str
) -> None:
    one = parcel(BY_NAME[SAMPLES[kind]])
    pacs = Pacs(one.sop_class_uid, [ExplicitVRLittleEndian, preferred])
    assert send(settings, transcoder, pacs, one, preferred).verdict is Verdict.DONE
    (copy,) = pacs.got
    assert copy.file_meta.TransferSyntaxUID == preferred
    assert copy.SOPInstanceUID == one.sop_instance_uid
    original = read(one.path)
    original.decompress(as_rgb=False, generate_instance_uid=False)
    copy.decompress(as_rgb=False, generate_instance_uid=False)
    assert np.array_equal(pixel_array(copy, raw=True), pixel_array(original, raw=True))


def test_what_can_not_be_made_so_goes_uncompressed(
    settings: Settings, transcoder: Transcoder
) -> None:
    """A document has no pixels to compress."""
    one = parcel(BY_NAME["reportsi.dcm"])
    pacs = Pacs(one.sop_class_uid, [JPEG2000Lossless, ImplicitVRLittleEndian])
    assert send(settings, transcoder, pacs, one, JPEG2000Lossless).verdict is Verdict.DONE
    assert pacs.got[0].file_meta.TransferSyntaxUID == ImplicitVRLittleEndian


def _hangs(*_: object) -> None:
    time.sleep(60)


def _dies(*_: object) -> None:
    os.kill(os.getpid(), 9)


@pytest.mark.parametrize("decoder", [_hangs, _dies])
def test_a_decoder_that_hangs_or_dies_takes_nothing_with_it(
    settings: Settings, decoder: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    impatient = Transcoder(settings.model_copy(update={"instance_timeout": 1.0}))
    path, syntax = BY_NAME[SAMPLES["RLE"]], str(ExplicitVRLittleEndian)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(transcoding, "transcode", decoder)
            with pytest.raises(NotTranscodedError) as refused, impatient.copy(path, syntax):
                pass
            assert refused.value.answer.verdict is Verdict.REJECT
        with impatient.copy(path, syntax) as copy:
            assert read(copy).file_meta.TransferSyntaxUID == syntax
        with pytest.raises(NotTranscodedError) as gone, impatient.copy(path / "none", syntax):
            pass
        assert gone.value.answer.verdict is Verdict.RETRY
    finally:
        impatient.close()
