"""Numbers of bytes, in words."""


def bytes_text(n: int) -> str:
    """Return a number of bytes in the unit that fits."""
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if n >= size:
            return f"{n / size:.2f} {unit}"
    return f"{n} bytes"
