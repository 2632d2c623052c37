"""Decoding: every kind of file, against Pillow and against the pixels that were written."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from cnn_jax.data import decode
from cnn_jax.data.decode import View

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


@pytest.mark.parametrize("size", [(20, 28), (13, 50), (80, 112)])
@pytest.mark.parametrize("box", [None, (3, 5, 43, 30), (2.5, 0.25, 30.5, 39)])
def test_resizing_is_pillows_antialiased_bilinear(size, box):
    expected = Image.fromarray(IMAGE).resize(size[::-1], Image.Resampling.BILINEAR, box)
    np.testing.assert_array_equal(decode.resize(IMAGE, size, box), expected)


def test_shrinking_averages_and_does_not_alias():
    stripes = np.zeros((64, 64, 1), np.uint8)
    stripes[:, ::2] = 200
    inner = decode.resize(stripes, (16, 16))[:, 1:-1]
    assert np.abs(inner.astype(int) - 100).max() <= 2


def test_a_view_shows_the_centre_at_the_wanted_aspect():
    view = View((224, 224), grey=False, crop=0.875)
    left, top, right, bottom = view.box(300, 500)
    assert (right - left, bottom - top) == (0.875 * 300, 0.875 * 300)
    assert (left + right, top + bottom) == (500, 300)
    wide = View((100, 200), grey=False, crop=1.0)
    assert wide.box(300, 500) == (0, 25, 500, 275)
    assert View((8, 8), grey=True).box(300, 500) == (0, 0, 500, 300)
    shown = decode.show(encoded(IMAGE, "png"), View((16, 16), grey=False, crop=0.8))
    box = (28 - 16, 20 - 16, 28 + 16, 20 + 16)
    expected = Image.fromarray(IMAGE).resize((16, 16), Image.Resampling.BILINEAR, box)
    np.testing.assert_array_equal(shown, expected)
