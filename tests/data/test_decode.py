"""Decoding: every kind of file, against Pillow and against the pixels that were written."""

import io
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from cnn_jax.data import decode
from cnn_jax.data.decode import View
from tests.data import resizing

RNG = np.random.default_rng(0)


def smooth(height: int = 40, width: int = 56) -> np.ndarray:
    """Return an image that JPEG keeps well, uint8 [H, W, 3]."""
    small = RNG.integers(0, 256, (4, 5, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


IMAGE = smooth()


def encoded(image: np.ndarray | Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    image.save(file, kind, **options)
    return file.getvalue()


def by_pillow(data: bytes, mode: str) -> np.ndarray:
    image = np.asarray(Image.open(io.BytesIO(data)).convert(mode))
    return image if mode == "RGB" else image[..., None]


@pytest.mark.parametrize(
    "options",
    [{}, {"progressive": True}, {"subsampling": 0}, {"subsampling": 2}, {"quality": 20}],
    ids=str,
)
def test_jpegs_are_what_pillow_makes_of_them(options):
    data = encoded(IMAGE, "jpeg", **options)
    assert np.abs(decode.pixels(data).astype(int) - by_pillow(data, "RGB")).max() <= 1


def test_grey_jpegs_keep_one_channel_and_may_be_given_three():
    data = encoded(IMAGE[..., 0], "jpeg", quality=95)
    expected = by_pillow(data, "L")
    np.testing.assert_array_equal(decode.pixels(data), expected)
    np.testing.assert_array_equal(decode.pixels(data, grey=False), expected.repeat(3, axis=2))


def test_colour_becomes_grey_where_the_network_is_grey():
    for data in (encoded(IMAGE, "png"), encoded(IMAGE, "jpeg", quality=100, subsampling=0)):
        found = decode.pixels(data, grey=True).astype(int)
        assert found.shape == (40, 56, 1)
        luma = IMAGE @ np.array([0.299, 0.587, 0.114])
        assert np.abs(found[..., 0] - luma).max() <= 3


def test_cmyk_jpegs_are_converted():
    data = encoded(Image.fromarray(IMAGE).convert("CMYK"), "jpeg", quality=95)
    found = decode.pixels(data)
    assert found.shape == IMAGE.shape
    np.testing.assert_array_equal(found, by_pillow(data, "RGB"))
    # Inverting inks by mistake would be off by far more than the quality.
    assert np.abs(found.astype(int) - IMAGE).mean() < 6


@pytest.mark.parametrize("kind", ["jpeg", "png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(kind, orientation):
    # What each orientation's stored pixels have to undergo (EXIF 2.3, tag 274).
    upright = {
        1: lambda x: x,
        2: lambda x: x[:, ::-1],
        3: lambda x: x[::-1, ::-1],
        4: lambda x: x[::-1],
        5: lambda x: x.transpose(1, 0, 2),
        6: lambda x: np.rot90(x, -1),
        7: lambda x: np.rot90(x.transpose(1, 0, 2), 2),
        8: lambda x: np.rot90(x, 1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(IMAGE, kind, exif=exif)
    found = decode.pixels(data).astype(int)
    stored = by_pillow(data, "RGB").astype(int)
    assert np.abs(found - upright(stored)).max() <= 1
    assert (found.shape == (56, 40, 3)) == (orientation >= 5)


def test_of_sixteen_bits_the_upper_eight_are_kept():
    deep = RNG.integers(0, 2**16, (9, 7), np.uint16)
    data = encoded(Image.fromarray(deep), "png")
    np.testing.assert_array_equal(decode.pixels(data)[..., 0], deep >> 8)
    np.testing.assert_array_equal(decode.pixels(data, grey=False)[..., 1], deep >> 8)


def test_transparency_is_dropped_and_palettes_are_resolved():
    alpha = RNG.integers(0, 256, (*IMAGE.shape[:2], 1), np.uint8)
    data = encoded(np.concatenate([IMAGE, alpha], -1), "png")
    np.testing.assert_array_equal(decode.pixels(data), IMAGE)
    palette = ImageOps.posterize(Image.fromarray(IMAGE), 2).quantize(64)
    data = encoded(palette, "png")
    np.testing.assert_array_equal(decode.pixels(data), np.asarray(palette.convert("RGB")))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16"])
def test_grey_modes_are_grey(mode):
    image = Image.fromarray(IMAGE[..., 0])
    image = Image.fromarray(IMAGE[..., 0].astype(np.uint16)) if mode == "I;16" else image
    assert decode.pixels(encoded(image.convert(mode), "png")).shape == (40, 56, 1)


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_a_truncated_file_is_refused(kind):
    data = encoded(RNG.integers(0, 256, (64, 64, 3), np.uint8), kind)
    with pytest.raises(ValueError, match="cannot be decoded"):
        decode.pixels(data[: len(data) // 2])
    with pytest.raises(ValueError, match="is not an image file"):
        decode.pixels(b"text")


NOISE = RNG.integers(0, 256, (40, 56, 3), np.uint8)
# Both sides shrink, one each, both grow, whole factors, a single pixel, the image itself.
SIZES = [(20, 28), (13, 17), (13, 80), (80, 13), (64, 112), (8, 7), (1, 1), (40, 56), (39, 57)]
WINDOWS = [None, (3, 5, 43, 30), (20, 0, 21, 40), (0, 39, 56, 40), (7, 7, 8, 8)]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("box", WINDOWS, ids=str)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_resizing_is_the_mean_where_it_shrinks_and_linear_where_it_grows(size, box, channels):
    image = NOISE[..., :channels]
    found = decode.resize(image, size, box)
    assert (found.dtype, found.shape) == (np.uint8, (*size, channels))
    window = image if box is None else image[box[1] : box[3], box[0] : box[2]]
    off = np.abs(found - resizing.resized(image, size, box))
    assert off.max() <= resizing.roundings(window.shape, size)


@pytest.mark.parametrize("channels", [1, 3])
def test_enlarged_digits_are_pillows_bit_for_bit(channels):
    # 8 and 28 to 32 have weights that are multiples of 1/256: nothing but rounding is left.
    for side in (8, 28):
        image = NOISE[:side, :side, :channels]
        plain = Image.fromarray(image[..., 0] if channels == 1 else image)
        expected = np.asarray(plain.resize((32, 32), Image.Resampling.BILINEAR))
        np.testing.assert_array_equal(decode.resize(image, (32, 32)).squeeze(), expected.squeeze())


@pytest.mark.parametrize("size", [(16, 16), (11, 23), (100, 16), (224, 224)])
def test_flat_images_stay_flat_and_ramps_ramps(size):
    flat = np.full((64, 64, 3), (0, 131, 255), np.uint8)
    np.testing.assert_array_equal(decode.resize(flat, size), np.full((*size, 3), (0, 131, 255)))
    ramp = np.broadcast_to(np.arange(0, 256, 4, dtype=np.uint8)[:, None, None], (64, 64, 1))
    line = decode.resize(ramp, size).astype(int)
    assert (line == line[:, :1]).all()
    assert (np.diff(line[:, 0, 0]) >= 0).all()
    assert abs(line.mean() - ramp.mean()) <= 1


@pytest.mark.parametrize(("rows", "columns"), [(32, 32), (16, 32), (8, 8), (32, 96), (96, 16)])
def test_what_is_finer_than_a_pixel_becomes_grey(rows, columns):
    # One pixel in two is white: a resizer that picks pixels instead of averaging shows them.
    board = ((np.indices((64, 64)).sum(0) % 2) * 255).astype(np.uint8)[..., None]
    found = decode.resize(board, (rows, columns)).astype(int)
    assert np.abs(found - 127.5).max() <= 1


def test_readers_resize_alike_in_any_number_of_threads():
    images = [smooth(30 + 7 * number, 50) for number in range(12)]
    expected = [decode.resize(image, (32, 32)) for image in images]
    with ThreadPoolExecutor(8) as pool:
        for found, image in zip(
            pool.map(lambda image: decode.resize(image, (32, 32)), images * 5),
            expected * 5,
            strict=True,
        ):
            np.testing.assert_array_equal(found, image)
    assert cv2.getNumThreads() == 1


def test_what_was_shown_is_not_overwritten_by_what_is_shown_next():
    files = [encoded(smooth(), "jpeg") for _ in range(3)]
    for size in ((40, 56), (20, 56), (20, 20)):  # of the image's own size, of one side's, of none
        view = View(size, grey=False)
        shown = [decode.show(file, view) for file in files]
        for file, image in zip(files, shown, strict=True):
            np.testing.assert_array_equal(image, decode.resize(decode.pixels(file), size))
    cut = [decode.show(file, View((9, 9), grey=False), lambda *_: (4, 5, 13, 14)) for file in files]
    for file, image in zip(files, cut, strict=True):
        np.testing.assert_array_equal(image, decode.pixels(file)[5:14, 4:13])


def test_a_view_shows_the_centre_at_the_wanted_aspect():
    view = View((224, 224), grey=False, crop=0.875)
    assert view.box(304, 500) == (117, 19, 383, 285)
    wide = View((100, 200), grey=False, crop=1.0)
    assert wide.box(300, 500) == (0, 25, 500, 275)
    assert View((8, 8), grey=True).box(300, 500) == (0, 0, 500, 300)
    shown = decode.show(encoded(IMAGE, "png"), View((16, 16), grey=False, crop=0.8))
    expected = resizing.resized(IMAGE, (16, 16), (28 - 16, 20 - 16, 28 + 16, 20 + 16))
    assert np.abs(shown - expected).max() <= 0.501


@given(
    *(st.integers(1, 400) for _ in range(4)),
    st.floats(0.01, 1.0),
)
def test_the_shown_window_is_centred_inside_and_of_whole_pixels(height, width, rows, columns, crop):
    left, top, right, bottom = View((rows, columns), grey=False, crop=crop).box(height, width)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    assert 0 <= (width - right) - left <= 1
    assert 0 <= (height - bottom) - top <= 1
    scale = crop * min(height / rows, width / columns)
    assert abs((bottom - top) - max(1, scale * rows)) <= 0.5
    assert abs((right - left) - max(1, scale * columns)) <= 0.5
