"""Reading PyTorch's weights from a file: tensors by name, and nothing else."""

import os
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import safetensors

from cnn_jax.runtime.errors import BadInputError, first_line

_TORCH = (".pth", ".pt", ".th", ".bin", ".ckpt")  # the last two by hubs and Lightning
SUFFIXES = (".safetensors", *_TORCH)

# What safetensors calls the types that weights come in, and NumPy with JAX's types, and PyTorch.
_FLOATS = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E8M0": "float8_e8m0fnu",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
}
# Of modules that wrap a network: data parallel, compiled, or someone's own.
_WRAPPERS = ("module", "_orig_mod", "model", "net", "network")
# Last parts of the names of what counts batches, or operations (thop), beside the weights.
_COUNTERS = ("num_batches_tracked", "total_ops", "total_params")
# Dicts of dicts that are searched for tensors: a checkpoint's entries, and theirs.
_DEPTH = 2


class _Stored(NamedTuple):
    """A tensor of a file: its type in words, and what reads it; None if it is no weight."""

    type: str
    read: Callable[[], np.ndarray] | None


def read_state_dict(
    file: str | os.PathLike[str], *, has: Sequence[Sequence[str]] = ()
) -> dict[str, np.ndarray]:
    """Return the tensors of a network's ``state_dict`` by name, in float32 or float64.

    ``.safetensors`` always; ``.pth``, ``.pt``, ``.th``, ``.bin`` and ``.ckpt``, in PyTorch's old
    and new format, where PyTorch is installed. The tensors may be below one or two entries of a
    checkpoint, and all their names may begin alike (``module.``, ``_orig_mod.``, ``model.``).
    Counters, and whatever else a checkpoint holds, are left out.

    Args:
        file: the file.
        has: sets of names, one of which the network has: they tell it from other dicts of tensors,
            and the beginning of its names from their rest. Without them there may be one dict
            alone, and the beginnings are those of common wrappers.

    Raises:
        BadInputError: no such file, another kind of file, a damaged one, one that holds objects
            other than tensors, no network or several, a tensor that is no dense one of
            floating-point numbers; or PyTorch is missing.
    """
    path = Path(file)
    if not path.is_file():
        raise BadInputError(f"{path}: no such file")
    if path.suffix == ".safetensors":
        content: Any = _read_safetensors(path)
    elif path.suffix in _TORCH:
        content = _read_torch(path)
    else:
        raise BadInputError(f"{path}: takes .safetensors, {', '.join(_TORCH)}")
    held, prefix = _network(path, content, has)
    tensors = {}
    for key, stored in held.items():
        if not key.startswith(prefix) or key.rpartition(".")[2] in _COUNTERS:
            continue
        if stored.read is None:
            raise BadInputError(
                f"{path}: {key!r} is a tensor of type {stored.type}; weights are dense, in "
                "floating-point numbers of 8 to 64 bits"
            )
        tensors[key.removeprefix(prefix)] = stored.read()
    return tensors


def _network(
    path: Path, content: Mapping[Any, Any], has: Sequence[Sequence[str]]
) -> tuple[dict[str, _Stored], str]:
    """Return the tensors of the one network in a file, and the beginning of their names."""
    holders = dict(_holders(content))
    fits = [(where, prefix) for where, held in holders.items() for prefix in _prefixes(held, has)]
    if len(fits) == 1:
        where, prefix = fits[0]
        return holders[where], prefix
    if len(fits) > 1:
        names = [".".join((*where, prefix)).rstrip(".") or "the top" for where, prefix in fits]
        names.sort()  # safetensors does not keep the order of what was saved
        raise BadInputError(
            f"{path}: holds {len(fits)} networks, at {', '.join(map(repr, names))}; "
            "save one of them by itself"
        )
    if len(holders) > 1:
        names = [".".join(where) or "the top" for where in holders]
        raise BadInputError(
            f"{path}: holds tensors at {', '.join(map(repr, names[:5]))}, none of which is known "
            "as the network's; save its state_dict by itself"
        )
    if not holders:
        for key, value in content.items():
            raise BadInputError(f"{path}: {key!r} is a {type(value).__name__}, not a tensor")
        raise BadInputError(f"{path}: holds no tensor")
    (held,) = holders.values()
    return held, _wrapped(held)


def _holders(
    content: Mapping[Any, Any], where: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], dict[str, _Stored]]]:
    """Yield the dicts that hold tensors: (the keys that lead there, tensors by name)."""
    held = {str(key): value for key, value in content.items() if isinstance(value, _Stored)}
    if held:
        yield where, held
    if len(where) < _DEPTH:
        for key, value in content.items():
            if isinstance(value, Mapping):
                yield from _holders(value, (*where, str(key)))


def _prefixes(held: Mapping[str, _Stored], has: Sequence[Sequence[str]]) -> list[str]:
    """Return the beginnings of names with which a network of the wanted names is there."""
    found = {}
    for first, *others in has:
        for key in held:
            prefix = key.removesuffix(first)
            whole = key.endswith(first) and (not prefix or prefix.endswith("."))
            if whole and all(prefix + other in held for other in others):
                found[prefix] = None
    return list(found)


def _wrapped(held: Mapping[str, _Stored]) -> str:
    """Return the names of wrappers with which all names begin."""
    prefix = ""
    while True:
        first = {key.removeprefix(prefix).partition(".")[0] for key in held}
        if len(first) != 1 or not first <= set(_WRAPPERS):
            return prefix
        prefix += f"{first.pop()}."


def _read_safetensors(path: Path) -> dict[str, _Stored]:
    try:
        entries = safetensors.deserialize(path.read_bytes())
    except (safetensors.SafetensorError, OSError) as error:
        raise BadInputError(f"{path}: not a whole safetensors file ({_line(error)})") from error

    def stored(entry: Mapping[str, Any]) -> _Stored:
        name = _FLOATS.get(entry["dtype"])
        if name is None:
            return _Stored(entry["dtype"], None)

        def read() -> np.ndarray:
            values = np.frombuffer(entry["data"], jnp.dtype(name)).reshape(entry["shape"])
            return values.astype(np.float64 if name == "float64" else np.float32)

        return _Stored(name, read)

    return {key: stored(entry) for key, entry in entries}


def _read_torch(path: Path) -> Mapping[Any, Any]:
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise BadInputError(
            f"{path}: reading {path.suffix} takes PyTorch (pip install torch); "
            "a .safetensors file needs nothing more"
        ) from error
    _check_sums(path)
    try:
        # weights_only: an unpickler that builds tensors and containers, and calls nothing else.
        # What it warns of, it then reads or refuses.
        with warnings.catch_warnings(action="ignore"):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        foreign = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"it has a {foreign[1]}" if foreign else _line(error)
        raise BadInputError(
            f"{path}: holds more than tensors, or is damaged ({what}); save a state_dict alone"
        ) from error
    except Exception as error:  # a damaged pickle raises whatever its bytes lead to
        script = "TorchScript" in str(error)
        what = "a TorchScript program; save its state_dict()" if script else _line(error)
        raise BadInputError(f"{path}: not a whole PyTorch file ({what})") from error
    if not isinstance(content, Mapping):
        raise BadInputError(f"{path}: holds a {type(content).__name__}, not a state_dict")

    def stored(tensor: Any) -> _Stored:
        name = str(tensor.dtype).removeprefix("torch.")
        kinds = {
            "quantised": tensor.is_quantized,
            "nested": tensor.is_nested,
            "sparse": tensor.layout is not torch.strided,
            "meta": tensor.is_meta,
        }
        for kind, is_so in kinds.items():
            if is_so:
                return _Stored(f"{kind} {name}", None)
        # A view that repeats a few values could claim any size.
        expanded = tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes()
        if name not in _FLOATS.values() or expanded:
            return _Stored(f"expanded {name}" if expanded else name, None)
        wide = torch.float64 if name == "float64" else torch.float32
        return _Stored(name, lambda: tensor.detach().to(wide).contiguous().numpy())

    seen = set()

    def walked(value: Any, depth: int = 0) -> Any:
        if isinstance(value, torch.Tensor):
            return stored(value)
        if isinstance(value, Mapping) and depth <= _DEPTH:
            if id(value) in seen:  # one dict under two keys is one network
                return None
            seen.add(id(value))
            return {key: walked(item, depth + 1) for key, item in value.items()}
        return value

    return walked(content)


def _check_sums(path: Path) -> None:
    """Raise ``BadInputError`` for a zip archive whose content is not what its checksums say.

    ``torch.load`` does not look at them, and would take damaged numbers for weights.
    """
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":
            return  # the older format, which has none
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except Exception as error:  # a damaged archive raises whatever its bytes lead to
        raise BadInputError(f"{path}: not a whole PyTorch file ({_line(error)})") from error
    if damaged is not None:
        raise BadInputError(
            f"{path}: not a whole PyTorch file ({damaged!r} is not what its checksum says)"
        )


def _line(error: BaseException) -> str:
    """Return the first line of an error's message, shortened."""
    return first_line(error, 120)
