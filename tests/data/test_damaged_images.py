"""Damaged and hostile image files: a ``ValueError`` with one line, or the image; nothing else."""

import io
import random
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from cnn_jax.data import decode, orientation
from tests.data import resizing

RNG = np.random.default_rng(0)
SMALL = Image.fromarray(RNG.integers(0, 256, (3, 4, 3), np.uint8))
IMAGE = SMALL.resize((30, 20), Image.Resampling.BICUBIC)
CASES = 300


def saved(kind: str, image: Image.Image = IMAGE, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def metadata() -> Image.Exif:
    block = Image.Exif()
    block[0x112], block[0x10F], block[0x11A], block[0x128] = 6, "maker", 72.0, 2
    block.get_ifd(0x8769)[0x829A] = 0.01
    block.get_ifd(0x8825)[1] = "N"
    return block


def test_a_changed_byte_of_metadata_changes_no_pixel():
    block = metadata()
    photo, length = saved("jpeg", exif=block), len(block.tobytes())
    start = photo.index(b"Exif\0\0")
    plain = decode.pixels(saved("jpeg"))
    upright = {turn: orientation.upright(plain, turn) for turn in range(1, 9)}
    np.testing.assert_array_equal(decode.pixels(photo), upright[6])
    draw, kept = random.Random(0), 0
    for _ in range(CASES):
        damaged = bytearray(photo)
        damaged[start + draw.randrange(length)] = draw.randrange(256)
        found = decode.pixels(bytes(damaged))
        assert any(np.array_equal(found, image) for image in upright.values())
        kept += np.array_equal(found, upright[6])
    assert kept > 0.8 * CASES  # the tag and what leads to it are a tenth of the bytes


FILES = {
    "jpeg": saved("jpeg", exif=metadata()),
    "progressive": saved("jpeg", progressive=True),
    "cmyk": saved("jpeg", IMAGE.convert("CMYK")),
    "mpo": saved("mpo", save_all=True, append_images=[IMAGE], exif=metadata()),
    "png": saved("png", exif=metadata()),
    "palette": saved("png", IMAGE.quantize(16), transparency=bytes(9)),
    "deep": saved("png", Image.fromarray(RNG.integers(0, 2**16, (9, 9), np.uint16))),
    "tiff": saved("tiff", exif=metadata()),
    "tiff lzw": saved("tiff", compression="tiff_lzw"),
    "tiff float": saved("tiff", Image.fromarray(RNG.random((9, 9), np.float32))),
    "webp": saved("webp", exif=metadata()),
    "gif": saved("gif"),
    "bmp": saved("bmp"),
    "jpeg2000": saved("jpeg2000"),
    "ico": saved("ico"),
    "tga": saved("tga"),
    "ppm": saved("ppm"),
}


# Pillow warns of odd metadata; users see the warning, tests would take it for an error.
@pytest.mark.filterwarnings("ignore")
def test_whatever_is_damaged_is_told_in_a_line_or_read():
    draw, told, read = random.Random(0), 0, 0
    for number in range(2 * CASES):
        name = list(FILES)[number % len(FILES)]
        damaged = bytearray(FILES[name])
        if draw.random() < 0.3:
            damaged = damaged[: draw.randrange(len(damaged))]
        else:
            for _ in range(draw.choice((1, 1, 2, 8))):
                end = draw.choice((len(damaged), min(200, len(damaged))))
                damaged[draw.randrange(end)] ^= 1 << draw.randrange(8)
        try:
            image = decode.pixels(bytes(damaged))
        except ValueError as error:
            told += str(error).count("\n") == 0
        else:
            assert (image.dtype, image.ndim) == (np.uint8, 3), (name, number)
            read += 1
    assert told + read == 2 * CASES
    assert min(told, read) > CASES / 3


ERRORS = [
    struct.error("unpack requires a buffer"),
    *(TypeError("x"), KeyError("x"), IndexError("x"), AttributeError("x")),
    *(OverflowError("x"), ZeroDivisionError("x"), EOFError(), MemoryError(), RecursionError()),
    *(SyntaxError("x"), zlib.error("x"), OSError("x"), UserWarning("x"), AssertionError()),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("where", ["open", "load", "convert"])
def test_whatever_a_decoder_raises_is_told_as_the_reason(monkeypatch, where, error):
    def fail(*_, **__):
        raise error

    data = saved("png", IMAGE.convert("RGBA"))
    owner = {"open": Image, "load": Image.Image, "convert": Image.Image}[where]
    if where == "load":
        from PIL import PngImagePlugin

        owner = PngImagePlugin.PngImageFile
    monkeypatch.setattr(owner, where, fail)
    with pytest.raises(ValueError, match=r"cannot be decoded: .") as caught:
        decode.pixels(data)
    assert str(error) in str(caught.value)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_what_simplejpeg_cannot_decode_pillow_tries(monkeypatch, error):
    def fail(*_, **__):
        raise error

    data = saved("jpeg")
    expected = decode.pixels(data)
    for name in ("decode_jpeg", "decode_jpeg_header"):
        with monkeypatch.context() as patch:
            patch.setattr(decode.simplejpeg, name, fail)
            np.testing.assert_array_equal(decode.pixels(data), expected)


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"", "is not an image file: it is empty"),
        (b"text", "is not an image file"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", r"\(HEIC\); convert it to PNG or JPEG"),
        (b"\xff\x0a" + bytes(30), r"\(JPEG XL\); convert"),
        (b"%PDF-1.7", r"\(PDF\); convert"),
        (b"\x93NUMPY\x01\x00", r"\(NumPy\); convert"),
        (bytes(128) + b"DICM", r"\(DICOM\); convert"),
        (b"\0\0\0\x18ftypisom", r"\(video\); convert"),
        (b"II*\0\x08" + bytes(9), "cannot be decoded: a damaged TIFF"),
        (b"\x89PNG\r\n\x1a\n", "cannot be decoded: a damaged PNG"),
    ],
)
def test_what_is_no_image_is_named(data, line):
    with pytest.raises(ValueError, match=line):
        decode.pixels(data)


def resized_header(data: bytes, kind: str, height: int, width: int) -> bytes:
    """Return a file whose header claims another size."""
    if kind == "png":
        header = b"IHDR" + struct.pack(">LL", width, height) + data[24:29]
        return data[:12] + header + struct.pack(">L", zlib.crc32(header)) + data[33:]
    if kind == "jpeg":
        at = data.index(b"\xff\xc0") + 5
        return data[:at] + struct.pack(">HH", height, width) + data[at + 4 :]
    if kind == "bmp":
        return data[:18] + struct.pack("<ll", width, height) + data[26:]
    assert kind == "gif"
    return data[:6] + struct.pack("<HH", width, height) + data[10:]


@pytest.mark.parametrize("kind", ["png", "jpeg", "bmp", "gif"])
def test_images_beyond_the_limit_are_refused_before_they_are_decoded(kind, monkeypatch):
    def decoded(*_, **__):
        raise AssertionError("decoded")

    huge = resized_header(saved(kind), kind, 30_000, 30_000)
    monkeypatch.setattr(decode.simplejpeg, "decode_jpeg", decoded)
    monkeypatch.setattr(Image.Image, "load", decoded)
    with pytest.raises(ValueError, match=r"has .* than the 178,956,970 (pixels )?that are decoded"):
        decode.pixels(huge)


def test_the_limit_is_what_pillow_takes_for_an_attack():
    assert Image.MAX_IMAGE_PIXELS is not None
    assert decode.MAX_PIXELS == 2 * Image.MAX_IMAGE_PIXELS
    assert Image.open(io.BytesIO(FILES["png"])).size == (30, 20)


@pytest.mark.parametrize("shape", [(1, 70_000), (70_000, 1), (3, 66_000), (66_000, 3)])
@pytest.mark.parametrize("kind", ["png", "bmp", "tiff"])
def test_long_thin_images_are_images(shape, kind):
    levels = RNG.integers(0, 256, shape, np.uint8)
    found = decode.show(
        saved(kind, Image.fromarray(levels)), decode.View((8, 8), grey=True, crop=None)
    )
    expected = resizing.resized(levels[..., None], (8, 8))
    assert np.abs(found - expected).max() <= resizing.roundings(shape, (8, 8))


@pytest.mark.parametrize("columns", [2048, 2056, 2064])
def test_the_mean_of_many_pixels_does_not_overflow(columns):
    # 4096 x 2056 x 255 is just below 2 ** 31, where OpenCV's sums overflow.
    half = np.zeros((4096, columns, 2), np.uint8)
    half[..., 0], half[1::2, :, 1] = 255, 202
    assert decode.resize(half, (1, 1)).tolist() == [[[255, 101]]]
    assert decode.resize(half, (1, 1), (1, 2, columns - 1, 4096)).tolist() == [[[255, 101]]]
