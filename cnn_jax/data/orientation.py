"""Which way up a photo is: EXIF's tag 274, read on its own.

Nothing else of the metadata is looked at, so that a damaged tag beside it costs neither the photo
nor its orientation. Where there is no such tag, XMP's ``tiff:Orientation`` counts.
"""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

UPRIGHT = 1
TAG = 274
# Types of a tag's value that hold one integer (TIFF 6.0, section 2): size in bytes, signed.
INTEGERS = {3: (2, False), 4: (4, False), 6: (1, True), 8: (2, True), 9: (4, True)}

EXIF, XMP = b"Exif\x00\x00", b"http://ns.adobe.com/xap/1.0/\x00"
XMP_TAG = re.compile(rb'tiff:Orientation(?:="|>)([0-9])')
APP1, SCAN = 0xE1, 0xDA
WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD8)}  # TEM, RST0 to RST7 (ITU T.81, table B.1)


def segments(jpeg: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, first byte, end) of the segments before a JPEG's first scan.

    The first byte is that of the marker, the end that of the segment's contents. What follows
    something that is no segment is not looked at.
    """
    at = 2
    while at + 4 <= len(jpeg) and jpeg[at] == 0xFF:
        marker = jpeg[at + 1]
        if marker == 0xFF:  # fill bytes are allowed before a marker
            at += 1
        elif marker in WITHOUT_LENGTH:
            at += 2
        elif marker == SCAN:
            return
        else:
            end = at + 2 + (jpeg[at + 2] << 8 | jpeg[at + 3])
            yield marker, at, end
            at = end


def of_jpeg(jpeg: bytes) -> int:
    """Return a JPEG's orientation, however far behind its start it stands."""
    exif = xmp = None
    for marker, start, end in segments(jpeg):
        if marker != APP1:
            continue
        held = jpeg[start + 4 : end]
        if held.startswith(EXIF):
            exif = held if exif is None else exif + held[len(EXIF) :]  # one block, in parts
        elif held.startswith(XMP):
            xmp = held
    return of_metadata(exif, xmp) if exif or xmp else UPRIGHT


def of_metadata(exif: bytes | None, xmp: bytes | str | None) -> int:
    """Return the orientation that EXIF has, or else XMP, or else 1."""
    found = _of_exif(exif) if exif else None
    if found is None and xmp:
        text = xmp.encode(errors="replace") if isinstance(xmp, str) else xmp
        match = XMP_TAG.search(text)
        found = int(match[1]) if match else None
    return UPRIGHT if found is None else found


def of_info(info: dict[Any, Any]) -> int:
    """Return the orientation of an image that Pillow opened, by what it noted of the file."""
    exif, xmp = info.get("exif"), info.get("XML:com.adobe.xmp") or info.get("xmp")
    profile = info.get("Raw profile type exif")  # ImageMagick's way, before PNG had EXIF
    if exif is None and isinstance(profile, str):
        try:
            exif = bytes.fromhex("".join(profile.split("\n")[3:]))
        except ValueError:
            exif = None
    return of_metadata(exif, xmp)


def _of_exif(exif: bytes) -> int | None:
    """Return the tag's value in a block of EXIF, whose first directory alone has it."""
    while exif.startswith(EXIF):
        exif = exif[len(EXIF) :]
    order = {b"II": "little", b"MM": "big"}.get(exif[:2])
    if order is None:
        return None

    def number(start: int, size: int, signed: bool = False) -> int:
        return int.from_bytes(exif[start : start + size], order, signed=signed)  # pyright: ignore

    directory, found = number(4, 4), None
    for entry in range(number(directory, 2)):
        start = directory + 2 + 12 * entry
        if start + 12 > len(exif):
            break
        if number(start, 2) == TAG:
            size, signed = INTEGERS.get(number(start + 2, 2), (0, False))
            if size and number(start + 4, 4) == 1:
                found = number(start + 8, size, signed)
    return found


def upright(image: np.ndarray, orientation: int) -> np.ndarray:
    """Return a stored image ``[H, W, C]`` as it is to be seen (EXIF 2.3, tag 274)."""
    if orientation not in range(2, 9):
        return image
    if orientation >= 5:
        image = image.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)
