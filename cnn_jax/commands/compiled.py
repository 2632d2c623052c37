"""Where commands keep compiled programs."""

from cnn_jax.data.cache import cache_dir
from cnn_jax.train import compilation


def keep_compiled() -> None:
    """Keep what is compiled in the user's cache folder, for the next start."""
    compilation.keep_compiled(cache_dir() / "compiled")
