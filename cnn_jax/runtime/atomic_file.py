"""Files that are written whole or not at all."""

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def written(file: Path) -> Iterator[Path]:
    """Yield a name beside ``file`` to write to; what is there at the end takes the file's place.

    After an error nothing of it is left, and ``file`` is what it was. Processes, and threads of
    one, that write the same file do not disturb each other: the last one's stays.
    """
    # The suffix tells the format.
    temporary = file.with_name(f".{os.getpid()}-{threading.get_ident()}.{file.name}")
    try:
        yield temporary
        os.replace(temporary, file)
    except OSError as error:
        if error.errno and error.filename in (None, str(temporary)):  # writing names no file
            error.filename = str(file)
        raise
    finally:
        temporary.unlink(missing_ok=True)
