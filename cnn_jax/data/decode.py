"""Decoding: encoded image bytes to uint8 arrays of one size.

What is done with files that are not plain 8-bit RGB:

- The first bytes say what a file is, not its name: a PNG called ``.JPEG`` is a PNG.
- EXIF orientation is applied: a photo is upright, as viewers show it.
- CMYK is converted by Pillow, Adobe's inverted inks included; no colour profile is applied.
- Of 16 bits a channel the upper eight are kept.
- Transparency is dropped, palettes are resolved.
- A set all of whose images are grey has one channel; in any other, grey images get three.

JPEGs are decoded by simplejpeg, which has libjpeg-turbo for itself; whatever it declines, and every
other format, goes to Pillow. OpenCV resizes, by one rule for every image: see ``resize``.
"""

import dataclasses
import functools
import io
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image, ImageOps, UnidentifiedImageError

from cnn_jax.data.shuffle import shuffled
from cnn_jax.data.subsample import Subsample

GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "F")
JPEG, EXIF = b"\xff\xd8\xff", b"Exif\x00\x00"
# Metadata come first in a JPEG: no need to search all of it.
HEADER = 1 << 16
_THREAD = threading.local()

Box = tuple[int, int, int, int]  # left, top, right, bottom, in pixels


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
        """Return the window of an image of ``height`` x ``width`` that is shown.

        Its sides are rounded to whole pixels; where it cannot be centred, it lies half a pixel
        up or left.
        """
        if self.crop is None:
            return (0, 0, width, height)
        rows, columns = self.size
        scale = self.crop * min(height / rows, width / columns)
        high, wide = max(1, round(scale * rows)), max(1, round(scale * columns))
        top, left = (height - high) // 2, (width - wide) // 2
        return (left, top, left + wide, top + high)


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
    whole = _by_simplejpeg(encoded, view.grey, passing=True)
    if whole is None:
        whole = _by_pillow(encoded, view.grey)
    image = resize(whole, view.size, (window or view.box)(*whole.shape[:2]))
    if np.may_share_memory(image, whole):
        image = image.copy()  # of the size that was wanted, and still in the thread's memory
    if view.subsample is not None:
        image = view.subsample(image)
    return image if view.shuffle is None else shuffled(image, view.shuffle)


def _by_simplejpeg(encoded: bytes, grey: bool | None, passing: bool = False) -> np.ndarray | None:
    """Decode a plain JPEG; return None for anything else, and for a damaged one.

    A ``passing`` image is overwritten by the next one that this thread decodes.
    """
    if not encoded.startswith(JPEG) or EXIF in encoded[:HEADER]:
        return None
    try:
        height, width, kind, _ = simplejpeg.decode_jpeg_header(encoded)
        if kind not in ("Gray", "YCbCr", "RGB"):
            return None
        single = kind == "Gray" if grey is None else grey
        size = int(height) * int(width) * (1 if single else 3)
        memory = _memory(size) if passing else None
        return simplejpeg.decode_jpeg(encoded, "GRAY" if single else "RGB", buffer=memory)
    except ValueError:
        return None


def _memory(size: int) -> np.ndarray:
    """Return memory of this thread's own: it is in the processor's cache, unlike fresh memory."""
    held = getattr(_THREAD, "memory", None)
    if held is None or len(held) < size:
        held = _THREAD.memory = np.empty(size, np.uint8)
    return held[:size]


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
    """Resize a window of an image to ``size`` (height, width), without aliasing.

    Height and width are treated each on its own. Where n pixels become m:

    - fewer: pixel i is the mean of the window from i n/m to (i + 1) n/m, of a pixel at the border
      the part that lies inside;
    - more: pixel i is what the window has at (i + 1/2) n/m, linear between the centres of its
      pixels and constant beyond the outermost; weights are multiples of 1/256.

    Nothing outside the window has a part in it. Levels are rounded after shrinking and after each
    side that grows, first the width.

    Args:
        image: uint8 ``[H, W, 1 or 3]``.
        size: of the result, which has the same channels.
        box: the window; the whole image if None.
    """
    channels = image.shape[2]
    if box is not None:
        image = image[box[1] : box[3], box[0] : box[2]]
    if image.shape[:2] == size:
        return image
    (rows, columns), (height, width) = image.shape[:2], size
    cv2 = _opencv()
    if rows > height or columns > width:
        shrunk = (min(columns, width), min(rows, height))
        image = cv2.resize(image, shrunk, interpolation=cv2.INTER_AREA)
    if columns < width:
        wide = (width, image.shape[0])
        image = cv2.resize(image, wide, interpolation=cv2.INTER_LINEAR_EXACT)
    if rows < height:
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR_EXACT)
    return image.reshape(height, width, channels)


@functools.cache
def _opencv() -> Any:
    """Return OpenCV, whose own threads would only get in the way of those that read."""
    import cv2  # loaded by what resizes images

    cv2.setNumThreads(1)
    return cv2
