"""Formats of images that Pillow does not read, told by a file's first bytes: for messages."""

# What an ISO base media file says that it is (ISO 14496-12), by its brand.
BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1"), "HEIC"),
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
    b"crx ": "Canon raw",
}
# Of formats with photos or data in them that are no images to Pillow.
FOREIGN = {
    b"\xff\x0a": "JPEG XL",
    b"\x00\x00\x00\x0cJXL \r\n": "JPEG XL",
    b"\x76\x2f\x31\x01": "OpenEXR",
    b"#?RADIANCE": "Radiance HDR",
    b"%PDF": "PDF",
    b"PK\x03\x04": "zip",
    b"\x1f\x8b": "gzip",
    b"\x93NUMPY": "NumPy",
    b"<svg": "SVG",
}
# Of formats that Pillow knows, where it does not recognise a file.
KNOWN = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"RIFF": "WebP",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"II+\x00": "TIFF",
    b"MM\x00+": "TIFF",
}


def unreadable(encoded: bytes) -> str:
    """Return why Pillow does not recognise a file, as the end of a sentence."""
    if not encoded:
        return "is not an image file: it is empty"
    if encoded[4:8] == b"ftyp":
        kind = BRANDS.get(encoded[8:12], "video")
    else:
        kind = next((name for start, name in FOREIGN.items() if encoded.startswith(start)), None)
    if kind is None and encoded[128:132] == b"DICM":
        kind = "DICOM"
    if kind is not None:
        return f"is not an image file that can be read ({kind}); convert it to PNG or JPEG"
    for start, name in KNOWN.items():
        if encoded.startswith(start):
            return f"cannot be decoded: a damaged {name}, or of a kind of {name} that is not read"
    return "is not an image file"
