"""The file of an exported network, as an archive: what it says of itself, and its weights."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from flax import traverse_util

from cnn_jax.errors import BadInputError

FORMAT = 1
METADATA, PROGRAM, WEIGHTS = "metadata.json", "program.bin", "weights.npz"


def read_archive(file: str | Path) -> tuple[dict[str, Any], bytes, dict[str, np.ndarray]]:
    """Return (metadata, program, weights by 'params/head/kernel').

    Raises:
        BadInputError: no such file, another file, a damaged one, or one of a newer format.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            about = json.loads(archive.read(METADATA))
            if about["format"] > FORMAT:
                raise BadInputError(
                    f"{str(file)!r} has format {about['format']}, this version reads up to "
                    f"{FORMAT}; update cnn-jax"
                )
            # Read whole, so that the archive's checksum is checked.
            weights = dict(np.load(io.BytesIO(archive.read(WEIGHTS))))
            return about, archive.read(PROGRAM), weights
    except FileNotFoundError:
        raise BadInputError(f"{str(file)!r}: no such file") from None
    except BadInputError:
        raise
    except Exception as error:  # a damaged file raises whatever its reader meets
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise BadInputError(f"{str(file)!r} is no exported network ({line})") from None


def variables(weights: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return an exported network's weights as a module takes them."""
    flat = {tuple(name.split("/")): value for name, value in weights.items()}
    return traverse_util.unflatten_dict(flat)
