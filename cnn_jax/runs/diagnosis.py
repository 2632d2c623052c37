"""What is installed and what computes here, for people who report that something is wrong."""

import os
import platform
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

import cnn_jax
from cnn_jax import registry
from cnn_jax.data.prepare.cache import cache_dir
from cnn_jax.ops import cpu
from cnn_jax.ops.cpu import build_onednn
from cnn_jax.ops.geometry import Geometry
from cnn_jax.runtime.byte_counts import bytes_text
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.runtime.free_memory import host_memory
from cnn_jax.runtime.malloc import SWITCH, is_tuned
from cnn_jax.runtime.provenance import commit, versions

# Layers that show what is chosen by shape: (columns of the input, filters, groups).
_SHOWN = {
    "1x1": (56, (1, 1, 64, 256), 1),
    "depthwise 3x3": (56, (3, 3, 1, 128), 128),
    "5x5 on one channel": (32, (5, 5, 1, 6), 1),
    "3x3": (56, (3, 3, 64, 64), 1),
}
# A package that each extra brings.
_EXTRAS = {
    "tpu": "libtpu",
    "catalogue": "tensorflow",
    "tensorboard": "tensorboardX",
    "wandb": "wandb",
    "parity": "torch",
    "native": "onednn-cpu-gomp",
    "slurm": "submitit",
    "search": "faiss-cpu",
}


def diagnose() -> dict[str, Any]:
    """Return what there is, by subject: plain values, lists and dicts of them."""
    return {
        "package": {"path": str(Path(cnn_jax.__file__).parent), "commit": commit()},
        "versions": versions(),
        "machine": _machine(),
        "devices": [
            f"{device.platform}:{device.id} {device.device_kind}" for device in jax.devices()
        ],
        "operators": _operators(),
        "extras": {name: _version(package) for name, package in _EXTRAS.items()},
        "caches": {"folder": str(cache_dir())} | dict(_caches(cache_dir())),
        "plugins": _plugins(),
    }


def _machine() -> dict[str, Any]:
    room = host_memory()
    return {
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "memory left": None if room is None else bytes_text(room),
    }


def _operators() -> dict[str, str]:
    """Return what computes a convolution here, by the kind of layer, and why."""
    here = jax.default_backend()
    if here != "cpu":
        return {"convolution": f"XLA's own: this is {here}, other formulations are for the CPU"}
    found = {name: _formulation(*layer) for name, layer in _SHOWN.items()}
    obstacle = build_onednn.obstacle()
    if obstacle is None:
        version = build_onednn.installed()["onednn-cpu-gomp"]
        found["train.native"] = f"available: oneDNN {version}, built at first use"
    else:
        why = obstacle.removeprefix("train.native").lstrip(": ")
        found["train.native"] = f"not available: {why}"
    kept = f"kept by the process ({SWITCH}=0 gives it back)"
    found["freed memory"] = kept if is_tuned() else "given back to the system"
    return found


def _formulation(columns: int, w_shape: tuple[int, ...], groups: int) -> str:
    side = (w_shape[0] - 1) // 2
    geometry = Geometry((1, 1), ((side, side), (side, side)), groups, (1, 1))
    chosen = cpu.formulation(columns, w_shape, geometry)
    if chosen is None:
        return "XLA's own: the fastest at this shape on a CPU"
    room = chosen.__module__.rpartition(".")[2]
    return f"ops/cpu/{room}.py, {chosen.__name__}: faster than XLA's on a CPU"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _caches(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield what is kept in the cache folder, with its size, a line for each folder in it."""
    for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
        files = [each for each in entry.rglob("*") if each.is_file()] if entry.is_dir() else [entry]
        held = sum(each.stat().st_size for each in files)
        yield entry.name, f"{bytes_text(held)} in {len(files):,} files"


def _plugins() -> dict[str, str]:
    """Return what installed packages and ``--import`` have registered, or why one cannot be."""
    try:
        registry.load_installed()
    except BadInputError as error:
        return {"cannot be loaded": str(error)}
    return {
        f"{kind} {name}": f"{plugin.name} {plugin.version or ''}".strip()
        for kind, name, plugin in registry.registered()
    }
