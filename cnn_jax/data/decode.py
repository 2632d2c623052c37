"""Decoding: encoded image bytes to uint8 arrays of one size.

What is done with files that are not plain 8-bit RGB:

- The first bytes say what a file is, not its name: a PNG called ``.JPEG`` is a PNG.
- EXIF orientation is applied, see ``orientation``: a photo is upright, as viewers show it.
- CMYK is converted by Pillow, Adobe's inverted inks included; no colour profile is applied.
- Of 16 bits a channel the upper eight are kept; other depths: see ``levels``.
- Transparency is dropped, palettes are resolved; of several frames the first counts.
- A set all of whose images are grey has one channel; in any other, grey images get three.

JPEGs are decoded by simplejpeg, which has libjpeg-turbo for itself; whatever it declines, and every
other format, goes to Pillow. OpenCV resizes, by one rule for every image: see ``resize``. Whatever
is wrong with a file, and whatever a decoder raises about it, becomes a ``ValueError``.
"""

import contextlib
import dataclasses
import functools
import io
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image, UnidentifiedImageError

from cnn_jax.data import formats, levels, orientation
from cnn_jax.data.shuffle import shuffled
from cnn_jax.data.subsample import Subsample

GREY_MODES = ("1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "F")
JPEG = b"\xff\xd8\xff"
# Pixels of the largest image that is decoded: where Pillow sees a decompression bomb. An RGB image
# of that size takes half a gibibyte; of a sheet of A4, it is a scan at 1,350 dots an inch.
MAX_PIXELS = 178_956_970
# Segments of a JPEG that say how its colours are stored: JFIF's and Adobe's. Of the others of
# their kind, and of comments, nothing is needed.
COLOURS, METADATA = {0xE0, 0xEE}, {*range(0xE0, 0xF0), 0xFE}
# OpenCV sums up to this many pixels in 32 bits, where whole numbers of pixels become one.
MOST_SUMMED = (2**31 - 1) // 255
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
        ValueError: not an image that Pillow reads, a damaged one, one of more than ``MAX_PIXELS``,
            or one whose levels have no known scale. The message says which, as the end of a
            sentence that begins with the file's name.
    """
    return _decoded(encoded, grey)


def show(encoded: bytes, view: View, window: Callable[[int, int], Box] | None = None) -> np.ndarray:
    """Return what a view shows of an encoded image, uint8 ``[H, W, 1 or 3]``.

    ``window`` is a function of the image's height and width, which replaces the view's own.
    Raises as ``pixels`` does.
    """
    whole = _decoded(encoded, view.grey, passing=True)
    image = resize(whole, view.size, (window or view.box)(*whole.shape[:2]))
    if np.may_share_memory(image, whole):
        image = image.copy()  # of the size that was wanted, and still in the thread's memory
    if view.subsample is not None:
        image = view.subsample(image)
    return image if view.shuffle is None else shuffled(image, view.shuffle)


def _decoded(encoded: bytes, grey: bool | None, passing: bool = False) -> np.ndarray:
    if not encoded.startswith(JPEG):
        return _by_pillow(encoded, grey)
    image = _by_simplejpeg(encoded, grey, passing)
    if image is None:
        image = _by_pillow(_without_metadata(encoded), grey)
    return orientation.upright(image, orientation.of_jpeg(encoded))


def _by_simplejpeg(encoded: bytes, grey: bool | None, passing: bool) -> np.ndarray | None:
    """Decode a JPEG as it is stored; return None for unusual colours, and for a damaged one.

    A ``passing`` image is overwritten by the next one that this thread decodes.
    """
    try:
        height, width, kind, _ = simplejpeg.decode_jpeg_header(encoded)
    except Exception:  # whatever it is, Pillow finds the words for it
        return None
    _limit(int(width), int(height))
    if kind not in ("Gray", "YCbCr", "RGB"):
        return None
    single = kind == "Gray" if grey is None else grey
    size = int(height) * int(width) * (1 if single else 3)
    memory = _memory(size) if passing else None
    try:
        return simplejpeg.decode_jpeg(encoded, "GRAY" if single else "RGB", buffer=memory)
    except Exception:
        return None


def _memory(size: int) -> np.ndarray:
    """Return memory of this thread's own: it is in the processor's cache, unlike fresh memory."""
    held = getattr(_THREAD, "memory", None)
    if held is None or len(held) < size:
        held = _THREAD.memory = np.empty(size, np.uint8)
    return held[:size]


def _without_metadata(jpeg: bytes) -> bytes:
    """Return a JPEG without what Pillow would stumble over if it were damaged."""
    kept, at = [], 0
    for marker, start, end in orientation.segments(jpeg):
        if marker in METADATA - COLOURS:
            kept.append(jpeg[at:start])
            at = end
    return b"".join([*kept, jpeg[at:]])


def _limit(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise ValueError(
            f"has {width} x {height} pixels, more than the {MAX_PIXELS:,} that are decoded"
        )


def _by_pillow(encoded: bytes, grey: bool | None) -> np.ndarray:
    with _opened(encoded) as file:
        _limit(*file.size)
        with _told():
            file.load()
        # Pillow itself turns a TIFF around.
        turn = orientation.UPRIGHT if file.format == "TIFF" else orientation.of_info(file.info)
        single = file.mode in GREY_MODES if grey is None else grey
        deep = levels.of(file)
        with _told():
            array = np.asarray(_plain(file if deep is None else Image.fromarray(deep), single))
    return orientation.upright(array[..., None] if single else array, turn)


def _opened(encoded: bytes) -> Image.Image:
    with _told():
        try:
            return Image.open(io.BytesIO(encoded))
        except UnidentifiedImageError:
            reason = formats.unreadable(encoded)
        except Image.DecompressionBombError:
            reason = f"has more than the {MAX_PIXELS:,} pixels that are decoded"
    raise ValueError(reason)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Make what Pillow raises a ``ValueError`` with the reason: a damaged file raises anything."""
    try:
        yield
    except Exception as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(f"cannot be decoded: {reason[0]}") from None


def _plain(image: Image.Image, single: bool) -> Image.Image:
    """Return an image of eight bits in one channel or three."""
    if image.mode == "LAB":
        raise ValueError("its colours are CIELAB's; convert it to RGB")
    image.info.pop("transparency", None)  # of a palette; conversions would warn of it
    if image.mode in ("La", "RGBa"):  # multiplied by their opacity
        image = image.convert(image.mode.upper())
    return image.convert("L" if single else "RGB")


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
        across, down = min(columns, width), min(rows, height)
        whole = rows % down == columns % across == 0
        if whole and rows * columns > MOST_SUMMED * across * down:
            blocks = image.reshape(down, rows // down, across, columns // across, channels)
            sums = blocks.sum(1, dtype=np.uint64).sum(2)
            image = np.rint(sums * (across * down / (rows * columns))).astype(np.uint8)
        else:
            image = cv2.resize(image, (across, down), interpolation=cv2.INTER_AREA)
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
