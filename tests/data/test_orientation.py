"""Orientation: found wherever a file has it, and whatever else is damaged."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from cnn_jax.data import decode

RNG = np.random.default_rng(0)
SMALL = Image.fromarray(RNG.integers(0, 256, (3, 4, 3), np.uint8))
IMAGE = SMALL.resize((40, 30), Image.Resampling.BICUBIC)
PAD = b"Photoshop 3.0\0" + bytes(60_000)


def saved(kind: str, **options) -> bytes:
    file = io.BytesIO()
    IMAGE.save(file, kind, **options)
    return file.getvalue()


JPEG = saved("jpeg", quality=95)


def segment(marker: int, held: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(held) + 2) + held


def exif(*entries: tuple[int, int, int, bytes], order: str = "<") -> bytes:
    """Return a block of EXIF with entries (tag, type, count, value or offset)."""
    start = b"Exif\0\0" + (b"II*\0" if order == "<" else b"MM\0*")
    packed = b"".join(struct.pack(order + "HHL", *entry[:3]) + entry[3] for entry in entries)
    return start + struct.pack(order + "LH", 8, len(entries)) + packed + bytes(4)


def turned(orientation: int, order: str = "<") -> tuple[int, int, int, bytes]:
    return 0x112, 3, 1, struct.pack(order + "HH", orientation, 0)


def xmp(text: str) -> bytes:
    return segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta " + text.encode() + b"/>")


def jpeg(*segments: bytes) -> bytes:
    return JPEG[:2] + b"".join(segments) + JPEG[2:]


def by_pillow(encoded: bytes) -> np.ndarray:
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(encoded))))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff", "avif"])
def test_every_format_is_turned_as_pillow_turns_it(kind, orientation):
    block = Image.Exif()
    block[0x112] = orientation
    data = saved(kind, exif=block, **({"lossless": True} if kind == "webp" else {}))
    expected = by_pillow(data)
    assert (expected.shape == (40, 30, 3)) == (orientation >= 5)
    np.testing.assert_array_equal(decode.pixels(data), expected)


@pytest.mark.parametrize(
    "segments",
    [
        (segment(0xE1, exif(turned(6))),),
        (segment(0xE1, exif(turned(6, ">"), order=">")),),
        (segment(0xED, PAD), segment(0xED, PAD), segment(0xE1, exif(turned(6)))),
        (segment(0xFE, b"a comment"), b"\xff\xff", segment(0xE1, exif(turned(6)))),
        (xmp('tiff:Orientation="6"'),),
        (xmp("><tiff:Orientation>6</tiff:Orientation>"),),
        (xmp('tiff:Orientation="3"'), segment(0xE1, exif(turned(6)))),  # EXIF comes first
        (segment(0xE1, exif((0x10F, 2, 4, b"abc\0"))), xmp('tiff:Orientation="6"')),
    ],
)
def test_a_jpegs_orientation_is_found_where_it_stands(segments):
    data = jpeg(*segments)
    expected = by_pillow(data)
    assert expected.shape == (40, 30, 3)
    np.testing.assert_array_equal(decode.pixels(data), expected)


def test_what_only_looks_like_an_orientation_turns_nothing():
    plain = decode.pixels(JPEG)
    for data in (
        jpeg(segment(0xED, b"Photoshop 3.0\0" + segment(0xE1, exif(turned(6))))),  # of a thumbnail
        jpeg(segment(0xE1, exif(turned(0)))),
        jpeg(segment(0xE1, exif(turned(9)))),
        jpeg(segment(0xE1, exif((0x112, 2, 2, b"6\0\0\0")))),  # a text
        jpeg(segment(0xE1, b"Exif\0\0")),
        jpeg(segment(0xE1, b"Exif\0\0II*\0\xff\xff\xff\xff")),
        JPEG + segment(0xE1, exif(turned(6))),  # behind the image
    ):
        np.testing.assert_array_equal(decode.pixels(data), plain)


@pytest.mark.parametrize(
    "entry",
    [
        (0x100, 2, 4, b"640\0"),  # the width as a text
        (0x100, 11, 1, struct.pack("<f", 640.0)),
        (0x100, 9, 1, struct.pack("<l", -5)),
        (0x102, 3, 4_000_000, b"\0\0\0\0"),
        (0x8769, 4, 1, struct.pack("<L", 2**32 - 1)),  # a directory behind the end
        (0x11A, 5, 1, struct.pack("<L", 8)),
        (0x9000, 99, 1, b"0220"),
    ],
)
def test_a_damaged_tag_costs_neither_the_photo_nor_its_orientation(entry):
    expected = decode.pixels(jpeg(segment(0xE1, exif(turned(6)))))
    for entries in ((entry, turned(6)), (turned(6), entry)):
        data = jpeg(segment(0xE1, exif(*entries)))
        np.testing.assert_array_equal(decode.pixels(data), expected)
        # And of colours that Pillow converts.
        ink = io.BytesIO()
        IMAGE.convert("CMYK").save(ink, "jpeg")
        data = ink.getvalue()[:2] + segment(0xE1, exif(*entries)) + ink.getvalue()[2:]
        assert decode.pixels(data).shape == (40, 30, 3)


def test_a_photo_is_as_grey_with_metadata_as_without():
    plain = decode.pixels(JPEG, grey=True)
    found = decode.pixels(jpeg(segment(0xE1, exif(turned(6)))), grey=True)
    np.testing.assert_array_equal(found, np.rot90(plain, -1))
