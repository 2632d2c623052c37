"""TIFF files of any kind of sample, written byte by byte (TIFF 6.0): Pillow writes only some."""

import struct

import numpy as np

WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
STRIPS, SAMPLES, STRIP_BYTES, PLANES, EXTRA, FORMAT = 273, 277, 279, 284, 338, 339
SIZE = {3: 2, 4: 4}  # of the types SHORT and LONG


def tiff(
    data: bytes | list[bytes],
    shape: tuple[int, ...],
    *,
    bits: int,
    photometric: int = 1,
    form: int = 1,
    order: str = "<",
    extra: int | None = None,
    more: dict[int, tuple[int, list[int]]] | None = None,
) -> bytes:
    """Return a file of uncompressed samples.

    Args:
        data: of each strip.
        shape: (rows, columns) and, where there are several, samples a pixel.
        bits: of a sample.
        photometric: 0 for white as the lowest level, 1 black, 2 RGB, 3 a palette.
        form: of samples: 1 unsigned, 2 signed, 3 float.
        order: of bytes, as in ``struct``.
        extra: what a further sample is: 0 unspecified, 1 opacity multiplied in, 2 opacity.
        more: tags: their type, 3 or 4, and values.
    """
    strips = [data] if isinstance(data, bytes) else data
    rows, columns, *more_axes = shape
    samples = more_axes[0] if more_axes else 1
    tags = {
        WIDTH: (4, [columns]),
        LENGTH: (4, [rows]),
        BITS: (3, [bits] * samples),
        COMPRESSION: (3, [1]),
        PHOTOMETRIC: (3, [photometric]),
        STRIPS: (4, [0] * len(strips)),
        SAMPLES: (3, [samples]),
        STRIP_BYTES: (4, [len(strip) for strip in strips]),
        FORMAT: (3, [form] * samples),
        **(more or {}),
    }
    if extra is not None:
        tags[EXTRA] = (3, [extra])
    outside = 8 + 2 + 12 * len(tags) + 4  # what does not fit into its entry
    at = outside + sum(
        SIZE[kind] * len(values) for kind, values in tags.values() if SIZE[kind] * len(values) > 4
    )
    offsets = at + np.cumsum([0, *map(len, strips[:-1])])
    tags[STRIPS] = (4, offsets.tolist())
    entries, values_outside = b"", b""
    for tag, (kind, values) in sorted(tags.items()):
        packed = struct.pack(order + {3: "H", 4: "L"}[kind] * len(values), *values)
        entries += struct.pack(order + "HHL", tag, kind, len(values))
        if len(packed) > 4:
            entries += struct.pack(order + "L", outside + len(values_outside))
            values_outside += packed
        else:
            entries += packed.ljust(4, b"\0")
    start = b"II*\0" if order == "<" else b"MM\0*"
    directory = struct.pack(order + "LH", 8, len(tags)) + entries + bytes(4)
    return start + directory + values_outside + b"".join(strips)


def packed(levels: np.ndarray, bits: int) -> bytes:
    """Return rows of levels of so many bits, each row filled up to whole bytes."""
    single = levels[..., None].astype(np.uint16) >> np.arange(bits - 1, -1, -1, dtype=np.uint16)
    return np.packbits((single & 1).reshape(len(levels), -1).astype(np.uint8), axis=1).tobytes()
