"""Decoding: encoded image bytes to uint8 arrays of one size.

What is done with files that are not plain 8-bit RGB:

- The first bytes say what a file is, not its name: a PNG called ``.JPEG`` is a PNG.
- EXIF orientation is applied: a photo is upright, as viewers show it.
- CMYK is converted by Pillow, Adobe's inverted inks included; no colour profile is applied.
- Of 16 bits a channel the upper eight are kept.
- Transparency is dropped, palettes are resolved.
- A set all of whose images are grey has one channel; in any other, grey images get three.

JPEGs are decoded by simplejpeg, which has libjpeg-turbo for itself; whatever it declines, and every
other format, goes to Pillow.
"""

import dataclasses
import io
from collections.abc import Callable

import numpy as np
import simplejpeg
from PIL import Image, ImageOps, UnidentifiedImageError

from cnn_jax.data.shuffle import shuffled
from cnn_jax.data.subsample import Subsample

GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "F")
JPEG, EXIF = b"\xff\xd8\xff", b"Exif\x00\x00"
# Metadata come first in a JPEG: no need to search all of it.
HEADER = 1 << 16

Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels


@dataclasses.dataclass(frozen=True)
class View:
    """What the network is shown of an image.

    Args:
        size: (height, width) that images are resized to.
        grey: one channel instead of three.
        crop: of the largest centred window of that aspect ratio, the share of its side that is
            kept (0.875 is customary for photos); None shows the whole image, its sides scaled
            apart.
        subsample: which of the pixels it gets then; None is all.
        shuffle: the seed of the order in which it gets them; None leaves them where they are.
    """

    size: tuple[int, int]
    grey: bool
    crop: float | None = None
    subsample: Subsample | None = None
    shuffle: int | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Return (height, width, channels) of what the network gets."""
        size = self.size if self.subsample is None else self.subsample.size(self.size)
        return (*size, 1 if self.grey else 3)

    def box(self, height: int, width: int) -> Box:
        """Return the window of an image of ``height`` x ``width`` that is shown."""
        if self.crop is None:
            return (0, 0, width, height)
        rows, columns = self.size
        scale = self.crop * min(height / rows, width / columns)
        half_width, half_height = scale * columns / 2, scale * rows / 2
        return (
            width / 2 - half_width,
            height / 2 - half_height,
            width / 2 + half_width,
            height / 2 + half_height,
        )


def pixels(encoded: bytes, *, grey: bool | None = None) -> np.ndarray:
    """Return the image as it is, uint8 ``[H, W, 1 or 3]``; ``grey=None`` keeps its own channels.

    Raises:
        ValueError: not an image that Pillow reads, or a truncated one; the message says which.
    """
    image = _by_simplejpeg(encoded, grey)
    return _by_pillow(encoded, grey) if image is None else image


def show(encoded: bytes, view: View, window: Callable[[int, int], Box] | None = None) -> np.ndarray:
    """Return what a view shows of an encoded image, uint8 ``[H, W, 1 or 3]``.

    ``window`` is a function of the image's height and width, which replaces the view's own.
    """
    image = pixels(encoded, grey=view.grey)
    image = resize(image, view.size, (window or view.box)(*image.shape[:2]))
    if view.subsample is not None:
        image = view.subsample(image)
    return image if view.shuffle is None else shuffled(image, view.shuffle)


def _by_simplejpeg(encoded: bytes, grey: bool | None) -> np.ndarray | None:
    """Decode a plain JPEG; return None for anything else, and for a damaged one."""
    if not encoded.startswith(JPEG) or EXIF in encoded[:HEADER]:
        return None
    try:
        kind = simplejpeg.decode_jpeg_header(encoded)[2]
        if kind not in ("Gray", "YCbCr", "RGB"):
            return None
        single = kind == "Gray" if grey is None else grey
        return simplejpeg.decode_jpeg(encoded, "GRAY" if single else "RGB")
    except ValueError:
        return None


def _by_pillow(encoded: bytes, grey: bool | None) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(encoded)) as file:
            image = ImageOps.exif_transpose(file)
    except UnidentifiedImageError:
        raise ValueError("is not an image file") from None
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"cannot be decoded: {error}") from None
    single = image.mode in GREY_MODES if grey is None else grey
    if image.mode.startswith("I"):  # 16 bits; converting would cut off at 255
        image = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
    array = np.asarray(image.convert("L" if single else "RGB"))
    return array[..., None] if single else array


def resize(image: np.ndarray, size: tuple[int, int], box: Box | None = None) -> np.ndarray:
    """Resize a window of an image to ``size`` (height, width).

    Bilinear; where the image shrinks, the triangle is as wide as a pixel of the result, which
    prevents aliasing. The whole image is the window if ``box`` is None.

    Args:
        image: uint8 ``[H, W, 1 or 3]``.
        size: of the result, which has the same channels.
        box: the window, whose sides may lie between pixels.
    """
    height, width, channels = image.shape
    if image.shape[:2] == size and box in (None, (0, 0, width, height)):
        return image
    plain = Image.fromarray(image[..., 0] if channels == 1 else image)
    shown = plain.resize((size[1], size[0]), Image.Resampling.BILINEAR, box)
    return np.asarray(shown).reshape(*size, channels)
