"""Pictures: the values of their pixels, their places, and what may be asked for."""

import io
import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels import apply_voi_lut
from pydicom.uid import ExplicitVRLittleEndian, RLELossless
from starlette.datastructures import QueryParams

from services.api.dicomweb import rendered_query
from services.api.problems import ProblemError
from services.api.rendering.cache import Cache
from services.api.rendering.drawing import UnusableSizeError, draw
from services.api.rendering.placeholders import placeholder
from services.api.rendering.placing import OutsideError, place
from services.api.rendering.wishes import JPEG, PNG, Failure, Region, Shape, Window, Wish
from shared.errors import Reject
from tests.corpus import all_files, read, storage_objects
from tests.helpers import part10

BY_NAME = {path.name: path for path in all_files()}


def image(pixels: Any, **elements: Any) -> Dataset:
    """A secondary capture of an array: (frames x) rows x columns (x 3)."""
    array = np.asarray(pixels)
    colour = array.shape[-1] == 3 and array.ndim > 2
    found = Dataset()
    found.ensure_file_meta()
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found.SOPClassUID, found.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3.1"
    found.StudyInstanceUID, found.SeriesInstanceUID = "1.2.3.2", "1.2.3.3"
    shape = array.shape[:-1] if colour else array.shape
    found.SamplesPerPixel = 3 if colour else 1
    found.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        found.PlanarConfiguration = 0
    if len(shape) == 3:
        found.NumberOfFrames = shape[0]
    found.Rows, found.Columns = shape[-2:]
    found.BitsAllocated = found.BitsStored = array.dtype.itemsize * 8
    found.HighBit = found.BitsStored - 1
    found.PixelRepresentation = int(array.dtype.kind == "i")
    found.PixelData = array.astype(array.dtype.newbyteorder("<")).tobytes()
    found["PixelData"].VR = "OB" if array.dtype.itemsize == 1 else "OW"
    for keyword, value in elements.items():
        setattr(found, keyword, value)
    return found


@pytest.fixture
def drawn(tmp_path: Path) -> Any:
    """Draws a data set; the picture's pixels."""

    def draws(data_set: Dataset, **wish: Any) -> Any:
        path = tmp_path / "image.dcm"
        path.write_bytes(part10(data_set))
        return pixels(draw(path, Wish(**wish)))

    return draws


def pixels(outcome: Any) -> Any:
    assert isinstance(outcome, bytes), outcome
    return np.asarray(Image.open(io.BytesIO(outcome))).astype(int)


def item(**elements: Any) -> Dataset:
    found = Dataset()
    for keyword, value in elements.items():
        setattr(found, keyword, value)
    return found


# Every bundled file


@pytest.mark.parametrize("path", all_files(), ids=lambda path: path.name)
def test_every_bundled_file_gives_a_picture_or_a_known_reason(path: Path) -> None:
    undrawable = {
        "JPEG-lossy.dcm", "JPGExtended.dcm",  # 12 bits: no free codec
        "JPEG2000-embedded-sequence-delimiter.dcm", "badVR.dcm",  # broken
    }  # fmt: skip
    try:
        outcome = draw(path, Wish(fit=(192, 192)))
    except Reject:
        assert path not in storage_objects()
    except Exception as error:
        assert path.name in undrawable, error
    else:
        assert path.name not in undrawable
        if outcome is Failure.NO_PICTURE:
            assert not {"PixelData", "FloatPixelData"} & {one.keyword for one in read(path)}
        else:
            assert max(pixels(outcome).shape[:2]) == 192


# Grey shades


def test_the_window_of_the_image_is_used(drawn: Any) -> None:
    stored = np.array([[0, 39, 40, 90, 140, 141, 4000]], np.uint16)
    # PS3.3 C.11.2.1.2.1, by hand: lower edge 40, upper edge 139.
    shown = drawn(image(stored, WindowCenter=90, WindowWidth=101))
    assert shown.tolist() == [[0, 0, 1, 129, 255, 255, 255]]
    exact = image(stored, WindowCenter=90, WindowWidth=100, VOILUTFunction="LINEAR_EXACT")
    assert drawn(exact).tolist() == [[0, 0, 0, 128, 255, 255, 255]]
    sigmoid = drawn(image(stored, WindowCenter=90, WindowWidth=100, VOILUTFunction="SIGMOID"))
    assert sigmoid[0, 3] == 128 and sigmoid[0, 1] == 29 and sigmoid[0, 6] == 255
    step = drawn(image(stored, WindowCenter=40, WindowWidth=1))
    assert step.tolist() == [[0, 0, 255, 255, 255, 255, 255]]
    first = drawn(image(stored, WindowCenter=[90, 2000], WindowWidth=[101, 4000]))
    assert first.tolist() == shown.tolist()


@pytest.mark.parametrize("name", ["CT_small.dcm", "examples_overlay.dcm", "693_J2KI.dcm"])
def test_windows_are_those_of_pydicom(name: str) -> None:
    data_set = read(BY_NAME[name])
    values = data_set.pixel_array * float(data_set.get("RescaleSlope", 1))
    values = values + float(data_set.get("RescaleIntercept", 0))
    if "WindowCenter" not in data_set:
        data_set.WindowCenter, data_set.WindowWidth = 500, 1000
        window: Window | None = Window(500, 1000)
    else:
        window = None
    data_set.pop("RescaleSlope", None)
    expected = apply_voi_lut(values, data_set)
    least = -(1 << data_set.BitsStored - 1) if data_set.PixelRepresentation else 0
    span = (1 << data_set.BitsStored) - 1
    shown = pixels(draw(BY_NAME[name], Wish(window=window)))
    assert np.abs(shown - (expected - least) / span * 255).max() <= 1


def test_signed_values_are_rescaled_before_the_window(drawn: Any) -> None:
    stored = np.array([[-1024, -512, 0, 512, 1023]], np.int16)
    scaled = image(
        stored, BitsStored=12, HighBit=11, RescaleSlope=2, RescaleIntercept=-100,
        WindowCenter=-100, WindowWidth=2048, VOILUTFunction="LINEAR_EXACT",
    )  # fmt: skip
    assert drawn(scaled).tolist() == [[0, 0, 128, 255, 255]]
    wished = Window(-1124, 2048, Shape.LINEAR_EXACT)
    assert drawn(scaled, window=wished).tolist() == [[0, 128, 255, 255, 255]]


def test_monochrome1_is_inverted_and_padding_is_black(drawn: Any) -> None:
    stored = np.array([[0, 50, 100, 200]], np.uint8)
    white = image(stored, PhotometricInterpretation="MONOCHROME1", WindowCenter=50, WindowWidth=100,
                  VOILUTFunction="LINEAR_EXACT")  # fmt: skip
    assert drawn(white).tolist() == [[255, 128, 0, 0]]
    white.PixelPaddingValue = 0
    assert drawn(white).tolist() == [[0, 128, 0, 0]]
    white.PixelPaddingRangeLimit = 60
    assert drawn(white).tolist() == [[0, 0, 0, 0]]


def test_without_a_window_nearly_all_values_are_spread(drawn: Any) -> None:
    stored = np.linspace(100, 300, 10_000).astype(np.uint16).reshape(100, 100)
    stored[0, 0], stored[0, 1] = 65_535, 0
    shown = drawn(image(stored))
    assert shown.min() == 0 and shown.max() == 255
    assert 100 < shown[50, 50] < 155
    padded = stored.copy()
    padded[:60] = 60_000
    assert drawn(image(padded, PixelPaddingValue=60_000))[80].mean() > 60
    assert set(drawn(image(np.full((4, 4), 7, np.uint16))).flat) <= {127, 128}
    # Of few pixels: nothing of a segment may get lost.
    for kind in (np.uint8, np.uint16):
        segment = np.zeros((50, 50), kind)
        segment[20, 20] = 1
        assert set(drawn(image(segment)).flat) == {0, 255}


def test_a_window_that_is_none_is_not_used(drawn: Any) -> None:
    stored = np.array([[0, 100, 255]], np.uint8)
    for center, width in ((10, 0), (10, -5), (None, 100), ([], [])):
        shown = drawn(image(stored, WindowCenter=center, WindowWidth=width))
        assert shown.tolist() == [[0, 100, 255]]


def test_tables_are_looked_up(drawn: Any) -> None:
    stored = np.array([[0, 1, 2, 3, 9]], np.uint8)
    voi = item(LUTDescriptor=[4, 0, 8], LUTData=[0, 10, 100, 255])
    voi["LUTDescriptor"].VR = "US"
    voi["LUTData"].VR = "US"
    assert drawn(image(stored, VOILUTSequence=[voi])).tolist() == [[0, 10, 100, 255, 255]]
    modality = item(LUTDescriptor=[4, 0, 16], LUTData=[3, 2, 1, 0], ModalityLUTType="US")
    modality["LUTDescriptor"].VR = "US"
    modality["LUTData"].VR = "US"
    both = image(stored, VOILUTSequence=[voi], ModalityLUTSequence=[modality])
    assert drawn(both).tolist() == [[255, 100, 10, 0, 0]]


def test_floats_and_32_bits_are_shown(drawn: Any) -> None:
    doses = np.arange(100, dtype=np.uint32).reshape(10, 10) * 1_000_000
    shown = drawn(image(doses, BitsStored=32, HighBit=31))
    assert shown[0, 0] == 0 and shown[9, 9] == 255 and 100 < shown[5, 0] < 155
    floats = image(np.zeros((2, 2), np.uint32))
    del floats.PixelData
    floats.FloatPixelData = np.array([0, np.nan, 5, 10], "<f4").tobytes()
    assert drawn(floats)[1, 1] == 255


# Colours


def test_colours(drawn: Any) -> None:
    stored = np.array([[[255, 0, 0], [0, 255, 0], [10, 20, 30]]], np.uint8)
    assert drawn(image(stored)).tolist() == stored.tolist()
    assert drawn(image(stored.astype(np.uint16) << 8 | 77)).tolist() == stored.tolist()
    planes = image(stored, PlanarConfiguration=1)
    planes.PixelData = np.moveaxis(stored, -1, 0).tobytes()
    assert drawn(planes).tolist() == stored.tolist()
    ybr = np.array([[[76, 85, 255], [150, 44, 21], [128, 128, 128]]], np.uint8)
    shown = drawn(image(ybr, PhotometricInterpretation="YBR_FULL"))
    assert np.abs(shown - [[[254, 0, 0], [0, 255, 1], [128, 128, 128]]]).max() <= 2


def test_palettes(drawn: Any) -> None:
    stored = np.array([[0, 1, 2, 3]], np.uint8)
    found = image(stored, PhotometricInterpretation="PALETTE COLOR")
    for number, name in enumerate(("Red", "Green", "Blue")):
        table = np.array([0, 0x1000, 0xFFFF, 0x8000 >> number], "<u2")
        setattr(found, f"{name}PaletteColorLookupTableDescriptor", [4, 0, 16])
        found[f"{name}PaletteColorLookupTableDescriptor"].VR = "US"
        setattr(found, f"{name}PaletteColorLookupTableData", table.tobytes())
    assert drawn(found).tolist() == [[[0] * 3, [16] * 3, [255] * 3, [128, 64, 32]]]


@pytest.mark.parametrize("name", ["SC_ybr_full_422_uncompressed.dcm", "examples_ybr_color.dcm",
                                  "examples_rgb_color.dcm", "SC_rgb_jpeg_dcmtk.dcm"])  # fmt: skip
def test_colour_files_are_those_of_pydicom(name: str) -> None:
    expected = read(BY_NAME[name]).pixel_array
    if expected.ndim == 4:
        expected = expected[len(expected) // 2]
    shown = pixels(draw(BY_NAME[name], Wish()))
    assert np.array_equal(shown, expected)


# Frames


def test_the_frame_in_the_middle_is_shown(drawn: Any) -> None:
    frames = np.array([[[0, 9]], [[1, 9]], [[2, 9]], [[3, 9]], [[4, 9]]], np.uint8)
    found = image(frames, WindowCenter=128, WindowWidth=256)
    assert drawn(found)[0, 0] == 2
    assert drawn(found, frame=5)[0, 0] == 4 and drawn(found, frame=1)[0, 0] == 0
    found.compress(RLELossless, generate_instance_uid=False)
    assert drawn(found)[0, 0] == 2


def test_a_frame_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "x.dcm"
    path.write_bytes(part10(image(np.zeros((2, 2, 2), np.uint8))))
    assert draw(path, Wish(frame=3)) is Failure.NO_FRAME


def test_functional_groups_say_how_frames_are_shown(drawn: Any) -> None:
    found = image(np.full((2, 1, 2), 50, np.uint8))
    found.SharedFunctionalGroupsSequence = [item(PixelMeasuresSequence=[item(PixelSpacing=[2, 1])])]
    found.PerFrameFunctionalGroupsSequence = [
        item(FrameVOILUTSequence=[item(WindowCenter=center, WindowWidth=100)])
        for center in (50, 500)
    ]
    first, second = drawn(found, frame=1), drawn(found, frame=2)
    assert first.shape == (2, 2)  # twice as high as wide
    assert first[0, 0] > 100 and second[0, 0] == 0


def test_segments_of_one_bit() -> None:
    name = "liver_expb_1frame.dcm"
    shown = pixels(draw(BY_NAME[name], Wish()))
    assert np.array_equal(shown, read(BY_NAME[name]).pixel_array * 255)


# Places


def test_pixels_that_are_not_square(drawn: Any) -> None:
    square = np.tile(np.arange(64, dtype=np.uint8), (32, 1))
    assert drawn(image(square, PixelSpacing=[2, 1])).shape == (64, 64)
    assert drawn(image(square, PixelSpacing=[1, 2])).shape == (32, 128)
    assert drawn(image(square, PixelAspectRatio=[4, 2])).shape == (64, 64)
    assert drawn(image(square, PixelAspectRatio=[2, 1], PixelSpacing=[1, 1])).shape == (32, 64)
    for wrong in ([0, 1], [1e9, 1], [-1, 1]):
        assert drawn(image(square, PixelSpacing=wrong)).shape == (32, 64)
    assert drawn(image(square, PixelSpacing=[2, 1]), fit=(32, 32)).shape == (32, 32)


def test_regions_are_cut_mirrored_and_enlarged(drawn: Any) -> None:
    stored = np.arange(256, dtype=np.uint8).reshape(16, 16)
    found = image(stored)
    cut = drawn(found, fit=(4, 4), region=Region(2, 3, 4, 4))
    assert cut.tolist() == stored[3:7, 2:6].tolist()
    turned = drawn(found, fit=(4, 4), region=Region(2, 3, -4, -4))
    assert turned.tolist() == stored[3:7, 2:6][::-1, ::-1].tolist()
    assert drawn(found, fit=(64, 32)).shape == (32, 32)
    assert drawn(found, fit=(8, 64), region=Region(0, 0, None, 8)).shape == (4, 8)


@pytest.mark.parametrize("region", [Region(16, 0), Region(0, 0, 17, 1), Region(0, 8, 1, 9),
                                    Region(8, 0, -9)])  # fmt: skip
def test_regions_outside_are_refused(region: Region) -> None:
    with pytest.raises(OutsideError):
        place(16, 16, 1, region, (4, 4))


def test_places_are_bounded() -> None:
    assert max(place(60_000, 10, 1, None, None).size) == 16_384
    assert place(60_000, 1, 1, None, (64, 64)).size == (64, 1)


@pytest.mark.parametrize("size", [0, 65_535])
def test_an_image_that_says_it_is_huge_or_nothing_is_not_decoded(tmp_path: Path, size: int) -> None:
    path = tmp_path / "odd.dcm"
    path.write_bytes(part10(image(np.zeros((2, 2), np.uint8), Rows=size, Columns=size)))
    with pytest.raises(UnusableSizeError):
        draw(path, Wish())


def test_a_video_is_no_picture(tmp_path: Path) -> None:
    video = image(np.zeros((2, 2), np.uint8))
    video.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"
    video.PixelData = encapsulate([bytes(10)])
    video["PixelData"].is_undefined_length = True
    path = tmp_path / "video.dcm"
    path.write_bytes(part10(video))
    assert draw(path, Wish()) is Failure.NO_PICTURE


def test_one_frame_of_many_is_read(tmp_path: Path) -> None:
    frames = np.zeros((100, 512, 512), np.uint16)
    frames[50] = 5
    path = tmp_path / "many.dcm"
    path.write_bytes(part10(image(frames, WindowCenter=5, WindowWidth=1)))
    del frames
    tracemalloc.start()
    try:
        shown = pixels(draw(path, Wish()))
        assert tracemalloc.get_traced_memory()[1] < 20 << 20  # of 50 MiB
    finally:
        tracemalloc.stop()
    assert (shown == 255).all()


def test_no_overlay_and_no_text_is_drawn(drawn: Any) -> None:
    found = image(np.zeros((8, 8), np.uint8), WindowCenter=128, WindowWidth=256)
    found.PatientName = "Nordmann^Kari"
    before = drawn(found)
    found.add_new(0x60000010, "US", 8)
    found.add_new(0x60000011, "US", 8)
    found.add_new(0x60000040, "CS", "G")
    found.add_new(0x60000050, "SS", [1, 1])
    found.add_new(0x60000100, "US", 1)
    found.add_new(0x60000102, "US", 0)
    found.add_new(0x60003000, "OB", b"\xff" * 8)
    assert np.array_equal(drawn(found), before)


# What may be asked for


def test_parameters_are_understood() -> None:
    def asked(text: str) -> Wish:
        return rendered_query.rendered(QueryParams(text)).wish

    assert asked("") == Wish()
    assert asked("viewport=100,50").fit == (100, 50)
    assert asked("viewport=9,9,,,5,6").region == Region(0, 0, 5, 6)
    assert asked("viewport=9,9,1,2").region == Region(1, 2, None, None)
    assert asked("viewport=9,9,1.5,2,-3,4").region == Region(1.5, 2, -3, 4)
    assert asked("window=40,400,sigmoid").window == Window(40, 400, Shape.SIGMOID)
    assert asked("window=-40.5,400").window == Window(-40.5, 400, Shape.LINEAR)
    assert asked("quality=50&accept=image/jpeg").quality == 50
    assert rendered_query.rendered(QueryParams("annotation=patient")).warnings
    assert rendered_query.thumbnail(QueryParams("viewport=9,8")).wish.fit == (9, 8)


@pytest.mark.parametrize(
    "text",
    ["viewport=", "viewport=1", "viewport=0,5", "viewport=a,b", "viewport=5000,1",
     "viewport=1,1,-1",
     "viewport=1,1,0,0,0,1", "viewport=1,1,1,1,1,1,1", "viewport=1,1,nan", "viewport=1,1,inf",
     "viewport=1.5,2", "window=1", "window=1,0,linear", "window=1,2,cubic", "window=nan,2,linear",
     "window=1,2,linear,3", "window=1e99,2", "window=1,0,sigmoid", "quality=0", "quality=101",
     "quality=x", "nothing=1", "viewport=²,1"],
)  # fmt: skip
def test_wrong_parameters_are_refused(text: str) -> None:
    with pytest.raises(ProblemError) as refused:
        rendered_query.rendered(QueryParams(text))
    assert refused.value.problem.status == 400 and refused.value.problem.errors


@pytest.mark.parametrize("text", ["viewport=1,1,1", "window=1,2,linear", "viewport=1025,1"])
def test_thumbnails_have_a_size_only(text: str) -> None:
    with pytest.raises(ProblemError):
        rendered_query.thumbnail(QueryParams(text))


# Placeholders and the memory


@pytest.mark.parametrize("media", [PNG, JPEG])
@pytest.mark.parametrize("failure", [Failure.NO_PICTURE, Failure.UNDECODABLE, Failure.MISSING])
def test_placeholders(failure: Failure, media: str) -> None:
    for size in ((192, 192), (64, 64), (1, 1), (1024, 3)):
        shown = Image.open(io.BytesIO(placeholder(failure, "SR", size, media)))
        assert shown.size == size and shown.format == media.removeprefix("image/").upper()
    hostile = placeholder(failure, "<b>Nordmann^Kari", (192, 192), media)
    assert hostile == placeholder(failure, "", (192, 192), media)
    assert hostile != placeholder(failure, "SR", (192, 192), media)


def test_the_cache_has_only_so_much_room(monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Cache(10_000)
    for number in range(10):
        cache.put(number, bytes(1500))
        assert cache.get(0) is not None  # the one in use stays
    kept = [number for number in range(10) if cache.get(number) is not None]
    assert len(kept) == 5 and {0, 9} <= set(kept)
    cache.put("large", bytes(3000))
    assert cache.get("large") is None
    cache.put("odd", Failure.UNDECODABLE)
    assert cache.get("odd") is Failure.UNDECODABLE
    monkeypatch.setattr("time.monotonic", lambda: 1e12)
    assert cache.get("odd") is None and cache.get(9) is not None
    empty = Cache(0)
    empty.put(1, b"x")
    assert empty.get(1) is None


def test_jpeg_is_as_good_as_asked(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", DeprecationWarning)
        fine = draw(BY_NAME["CT_small.dcm"], Wish(media=JPEG, quality=95))
        coarse = draw(BY_NAME["CT_small.dcm"], Wish(media=JPEG, quality=10))
    assert isinstance(fine, bytes) and isinstance(coarse, bytes) and len(coarse) < len(fine)
    assert Image.open(io.BytesIO(fine)).format == "JPEG"
