"""Levels of other depths than eight bits, against the levels that were written."""

import io

import numpy as np
import pytest
from PIL import Image

from cnn_jax.data import decode
from tests.data.tiff import PLANES, packed, tiff

RNG = np.random.default_rng(0)
DEEP = RNG.integers(0, 2**16, (4, 5), np.uint16)
DEEP[0, :2] = 0, 2**16 - 1
EIGHT = (DEEP >> 8).astype(np.uint8)
COLOURS = RNG.integers(0, 2**16, (4, 5, 3), np.uint16)


def saved(image: Image.Image | np.ndarray, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    image.save(file, kind, **options)
    return file.getvalue()


def levels(encoded: bytes) -> np.ndarray:
    """Return a grey image, whose three channels are the same where it has to have them."""
    found = decode.pixels(encoded)
    assert found.shape[2] == 1
    np.testing.assert_array_equal(decode.pixels(encoded, grey=False), found.repeat(3, axis=2))
    return found[..., 0]


@pytest.mark.parametrize(
    ("numbers", "form"),
    [
        (DEEP, 1),  # 16 bits: the upper eight, however few the image uses
        (DEEP.astype("u4") << 16, 1),
        (DEEP >> 1, 2),
        (DEEP.astype("i4") << 15, 2),
        # Of wide or signed integers those that the image uses: 0..255 and 0..65535 stay in scale.
        (EIGHT.astype("u4"), 1),
        (DEEP.astype("u4"), 1),
        (EIGHT.astype("i4"), 2),
        (DEEP.astype("i4"), 2),
        (EIGHT.astype("i2"), 2),
        (EIGHT / np.float32(255), 3),
        (EIGHT.astype("f4"), 3),
        (DEEP.astype("f4"), 3),
    ],
    ids=lambda value: getattr(getattr(value, "dtype", None), "name", str(value)),
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_numbers_become_levels_by_their_range(numbers, form, order):
    kind = {1: "u", 2: "i", 3: "f"}[form]
    stored = numbers.astype(f"{order}{kind}{numbers.itemsize}").tobytes()
    file = tiff(stored, DEEP.shape, bits=8 * numbers.itemsize, form=form, order=order)
    if (kind, numbers.itemsize, order) == ("u", 4, ">"):  # which Pillow does not read
        with pytest.raises(ValueError, match="a kind of TIFF that is not read"):
            decode.pixels(file)
    else:
        np.testing.assert_array_equal(levels(file), EIGHT)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("white_is_zero", [True, False])
def test_few_bits_span_black_to_white(bits, white_is_zero):
    stored = RNG.integers(0, 2**bits, (4, 7), np.uint8)
    file = tiff(packed(stored, bits), stored.shape, bits=bits, photometric=not white_is_zero)
    shown = stored.astype(int) * 255 // (2**bits - 1)
    np.testing.assert_array_equal(levels(file), 255 - shown if white_is_zero else shown)


def test_twelve_bits_are_scaled_by_twelve():
    stored = RNG.integers(0, 2**12, (5, 7), np.uint16)
    file = tiff(packed(stored, 12), stored.shape, bits=12)
    np.testing.assert_array_equal(levels(file), stored >> 4)


@pytest.mark.parametrize(
    ("numbers", "form"), [(DEEP.astype("<u2"), 1), ((EIGHT / 255).astype("<f4"), 3)]
)
def test_white_may_be_the_lowest_level(numbers, form):
    file = tiff(numbers.tobytes(), DEEP.shape, bits=8 * numbers.itemsize, form=form, photometric=0)
    np.testing.assert_array_equal(levels(file), 255 - EIGHT)


def test_signed_bytes_are_no_unsigned_ones():
    positive = (EIGHT >> 1).astype(np.int8)
    file = tiff(positive.tobytes(), EIGHT.shape, bits=8, form=2)
    np.testing.assert_array_equal(levels(file), EIGHT >> 1)
    with pytest.raises(ValueError, match="has levels from -128 to 127; negative ones"):
        decode.pixels(tiff(bytes([128, 127]), (1, 2), bits=8, form=2))


@pytest.mark.parametrize("kind", ["png", "tiff", "jpeg2000", "ppm"])
def test_sixteen_grey_bits_of_any_format_keep_the_upper_eight(kind):
    np.testing.assert_array_equal(levels(saved(DEEP, kind)), EIGHT)


def test_a_dark_sixteen_bit_image_stays_dark():
    # PGM's 16 bits come as 32 from Pillow: the file says how many they are, not the levels.
    for kind in ("png", "tiff", "ppm"):
        assert levels(saved(np.full((3, 3), 200, np.uint16), kind)).max() == 0


def test_the_greatest_level_of_a_pgm_is_white():
    pgm = b"P5 2 1 1023\n" + np.array([512, 1023], ">u2").tobytes()
    assert levels(pgm).tolist() == [[128, 255]]
    assert levels(b"P5 2 1 15\n\x08\x0f").tolist() == [[136, 255]]


@pytest.mark.parametrize("order", ["<", ">"])
def test_sixteen_bits_a_colour_keep_the_upper_eight(order):
    stored = COLOURS.astype(f"{order}u2")
    file = tiff(stored.tobytes(), stored.shape, bits=16, photometric=2, order=order)
    np.testing.assert_array_equal(decode.pixels(file), COLOURS >> 8)
    apart = [stored[..., channel].tobytes() for channel in range(3)]
    file = tiff(apart, stored.shape, bits=16, photometric=2, order=order, more={PLANES: (3, [2])})
    with pytest.raises(ValueError, match="is a TIFF of 16 bits whose colours are stored apart"):
        decode.pixels(file)


def test_colours_of_eight_bits_may_be_stored_apart():
    eight = (COLOURS >> 8).astype(np.uint8)
    apart = [eight[..., channel].tobytes() for channel in range(3)]
    file = tiff(apart, eight.shape, bits=8, photometric=2, more={PLANES: (3, [2])})
    np.testing.assert_array_equal(decode.pixels(file), eight)


def png(depth: int, colour: int, rows: np.ndarray) -> bytes:
    """Return a PNG of rows of bytes (ISO 15948), as Pillow writes none with 16 bits a colour."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">L", zlib.crc32(kind + data))
        return struct.pack(">L", len(data)) + kind + data + check

    samples = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    columns = rows.shape[1] * 8 // depth // samples
    header = struct.pack(">LLBBBBB", columns, len(rows), depth, colour, 0, 0, 0)
    lines = b"".join(b"\0" + row.tobytes() for row in rows)
    start = b"\x89PNG\r\n\x1a\n"
    data = chunk(b"IDAT", zlib.compress(lines))
    return start + chunk(b"IHDR", header) + data + chunk(b"IEND", b"")


@pytest.mark.parametrize("colour", [2, 4, 6])
def test_pngs_of_sixteen_bits_a_channel_keep_the_upper_eight(colour):
    shown, samples = {2: (3, 3), 4: (1, 2), 6: (3, 4)}[colour]  # 4 is grey with opacity
    stored = RNG.integers(0, 2**16, (3, 4, samples)).astype(">u2")
    file = png(16, colour, stored.reshape(3, -1).view(np.uint8))
    expected = np.broadcast_to(stored[..., :shown] >> 8, (3, 4, 3))
    np.testing.assert_array_equal(decode.pixels(file, grey=False), expected)


def test_opacity_that_is_multiplied_in_is_taken_out():
    grey, opacity = np.array([[10, 60, 100]], np.uint8), np.array([[255, 120, 200]], np.uint8)
    both = np.stack([grey, opacity], -1)
    for extra, shown in ((2, grey), (1, [[10, 60 * 255 // 120, 100 * 255 // 200]])):
        file = tiff(both.tobytes(), both.shape, bits=8, extra=extra)
        np.testing.assert_allclose(levels(file).astype(int), shown, atol=1)


@pytest.mark.parametrize("kind", ["png", "gif", "webp"])
def test_palettes_with_transparency_keep_their_colours(kind):
    palette = Image.fromarray((COLOURS >> 8).astype(np.uint8)).quantize(16)
    colours = np.asarray(palette.convert("RGB"))
    options: dict = {"transparency": 3} if kind == "gif" else {"transparency": bytes(range(16))}
    if kind == "webp":
        palette, options = palette.convert("RGBA"), {"lossless": True, "exact": True}
    np.testing.assert_array_equal(decode.pixels(saved(palette, kind, **options)), colours)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr", "RGBA", "RGBX", "PA"])
def test_colours_of_other_modes_are_converted(mode):
    eight = np.asarray(Image.fromarray((COLOURS >> 8).astype(np.uint8)).convert("P").convert("RGB"))
    image = Image.fromarray(eight)
    image = image.convert("P").convert("PA") if mode == "PA" else image.convert(mode)
    found = decode.pixels(saved(image, "tiff")).astype(int)
    assert np.abs(found - eight).max() <= (3 if mode == "YCbCr" else 0)


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (saved(np.array([[0.5, np.nan]], np.float32), "tiff"), "has levels that are NaN or inf"),
        (saved(np.array([[0.5, np.inf]], np.float32), "tiff"), "has levels that are NaN or inf"),
        (saved(np.array([[0.5, 30]], np.float32), "tiff"), "has floats from 0.5 to 30; the scale"),
        (saved(np.array([[-1, 1]], np.float32), "tiff"), "has floats from -1 to 1; the scale"),
        (saved(np.array([[0, 65536]], np.float32), "tiff"), "has floats from 0 to 6.554e"),
        (saved(np.array([[-5, 9]], np.int32), "tiff"), "has levels from -5 to 9; negative ones"),
        (saved(Image.new("LAB", (3, 2)), "tiff"), "colours are CIELAB's"),
        (tiff(bytes(16), (1, 2), bits=64, form=3), "a kind of TIFF that is not read"),
        (tiff(bytes(24), (1, 2, 3), bits=32, form=3, photometric=2), "a kind of TIFF that is not"),
    ],
)
def test_levels_without_a_known_scale_are_refused(file, reason):
    with pytest.raises(ValueError, match=reason):
        decode.pixels(file)


def test_floats_a_rounding_outside_of_their_range_are_in_it():
    stored = np.array([[-1e-4, 0.5, 1 + 1e-4]], np.float32)
    assert levels(saved(stored, "tiff")).tolist() == [[0, 128, 255]]
