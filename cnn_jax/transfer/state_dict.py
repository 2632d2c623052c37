"""Reading PyTorch's weights from a file: tensors by name, and nothing else."""

import os
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from cnn_jax.errors import BadInputError

_TORCH = (".pth", ".pt", ".th")
SUFFIXES = (".safetensors", *_TORCH)


def read_state_dict(file: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Return the tensors of a ``state_dict`` by name.

    ``.safetensors`` always; ``.pth``, ``.pt`` and ``.th``, in PyTorch's old and new format, where
    PyTorch is installed. The tensors may be under an entry ``state_dict`` and their names may begin
    with ``module.``, as ``torch.nn.DataParallel`` leaves them. Counters of batches are left out.

    Raises:
        BadInputError: no such file, another kind of file, a damaged one, one that holds objects
            other than tensors, or PyTorch is missing.
    """
    path = Path(file)
    if not path.is_file():
        raise BadInputError(f"{path}: no such file")
    if path.suffix == ".safetensors":
        tensors: Any = _read_safetensors(path)
    elif path.suffix in _TORCH:
        tensors = _read_torch(path)
    else:
        raise BadInputError(f"{path}: takes .safetensors, {', '.join(_TORCH)}")
    return {
        key.removeprefix("module."): value
        for key, value in tensors.items()
        if not key.endswith("num_batches_tracked")
    }


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        tensors = safetensors.numpy.load_file(path)
    except safetensors.SafetensorError as error:
        raise BadInputError(f"{path}: not a whole safetensors file ({_line(error)})") from error
    return {
        key: value.astype(np.promote_types(value.dtype, np.float32))
        for key, value in tensors.items()
        if not np.issubdtype(value.dtype, np.integer)
    }


def _read_torch(path: Path) -> dict[str, np.ndarray]:
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise BadInputError(
            f"{path}: reading {path.suffix} takes PyTorch (pip install torch); "
            "a .safetensors file needs nothing more"
        ) from error
    try:
        # weights_only: an unpickler that builds tensors and containers, and calls nothing else.
        # What it warns of, it then reads or refuses.
        with warnings.catch_warnings(action="ignore"):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise BadInputError(
            f"{path}: holds more than tensors, or is damaged ({_line(error)})"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        raise BadInputError(f"{path}: not a whole PyTorch file ({_line(error)})") from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping):
        raise BadInputError(f"{path}: holds a {type(content).__name__}, not a state_dict")
    for key, value in content.items():
        if not isinstance(value, torch.Tensor):
            raise BadInputError(f"{path}: {key!r} is a {type(value).__name__}, not a tensor")
    return {str(key): _array(value) for key, value in content.items()}


def _array(tensor: Any) -> np.ndarray:
    """Return a tensor's values; in float32 if they are narrower, for NumPy has no bfloat16."""
    tensor = tensor.detach()
    return (tensor if tensor.element_size() == 8 else tensor.float()).contiguous().numpy()


def _line(error: BaseException) -> str:
    """Return the first line of an error's message, shortened."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:120]
