"""``python -m cnn_jax``: the same as the command ``cnn-jax``."""

import sys

from cnn_jax.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
