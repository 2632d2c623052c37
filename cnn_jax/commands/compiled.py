"""Where commands keep compiled programs."""

import os
import sys

from cnn_jax.data.prepare.cache import cache_dir
from cnn_jax.train import compilation


def keep_compiled() -> None:
    """Keep what is compiled in the user's cache folder, for the next start, if that can be."""
    folder = cache_dir() / "compiled"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        reason = None if os.access(folder, os.W_OK | os.X_OK) else "it is not writable"
    except OSError as error:
        reason = error.strerror
    if reason is None:
        compilation.keep_compiled(folder)
    else:
        print(f"compiled programs are not kept in {str(folder)!r}: {reason}", file=sys.stderr)
