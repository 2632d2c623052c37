"""Convolutions by oneDNN: built where they are first wanted, loaded into the process.

A foreign function (``convolution.cc``) calls oneDNN from inside compiled programs; see
``ops.native``. It needs the extra ``native``, an x86-64 Linux, and a C++ compiler once.
"""

import contextlib
import ctypes
import functools
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import jax

from cnn_jax.ops.cpu.onednn import TARGET
from cnn_jax.runtime.atomic_file import written
from cnn_jax.runtime.errors import BadInputError

SOURCE = Path(__file__).with_name("convolution.cc")
PACKAGES = {
    "onednn-cpu-gomp": "/libdnnl.so.3",
    "onednn-devel-cpu-gomp": "/oneapi/dnnl/dnnl.hpp",
}
_FLAGS = ("-O2", "-std=c++17", "-shared", "-fPIC", "-w")


class Loaded(NamedTuple):
    """oneDNN in this process."""

    version: str
    takes_bfloat16: bool  # on this processor


def installed() -> dict[str, str]:
    """Return the versions of oneDNN's packages, of those that are installed."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


@functools.cache
def load(folder: Path) -> Loaded:
    """Make ``ops.native`` computable in this process.

    Args:
        folder: where what is built is kept, by what it was built from.

    Raises:
        BadInputError: the platform, the extra or the compiler is missing.
    """
    libdnnl, header = _files()
    built = _built(folder, libdnnl, header.parents[2])
    # oneDNN's threads would spin between two calls and take XLA's the processor.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    try:
        library = ctypes.CDLL(str(built))
    except OSError as error:
        raise BadInputError(f"train.native: {built} cannot be loaded: {error}") from None
    handler = jax.ffi.pycapsule(library.cnn_jax_convolve)
    jax.ffi.register_ffi_target(TARGET, handler, platform="cpu")
    number = library.cnn_jax_onednn_version()
    version = f"{number // 10_000}.{number // 100 % 100}.{number % 100}"
    return Loaded(version, bool(library.cnn_jax_onednn_takes_bfloat16()))


def obstacle() -> str | None:
    """Return what keeps ``load`` from building oneDNN's convolutions here; None if nothing does."""
    try:
        _files()
        _compiler()
    except BadInputError as error:
        return str(error)
    return None


def _files() -> list[Path]:
    """Return where oneDNN's library and its header are."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise BadInputError("train.native: oneDNN's packages are for Linux on x86-64 only")
    return [_file_of(package) for package in PACKAGES]


def _compiler() -> str:
    """Return the C++ compiler's command."""
    compiler = os.environ.get("CXX", "c++")
    if shutil.which(compiler) is None:
        raise BadInputError(
            f"train.native needs a C++ compiler, and there is no {compiler!r}: "
            "install one, or name it in the environment variable CXX"
        )
    return compiler


def _file_of(package: str) -> Path:
    """Return where an installed package's file is."""
    try:
        files = metadata.files(package) or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if str(file).endswith(PACKAGES[package]):
            return Path(str(file.locate())).resolve()
    raise BadInputError(
        f"train.native needs {package}, which is not installed: pip install 'cnn-jax[native]'"
    )


def _built(folder: Path, libdnnl: Path, headers: Path) -> Path:
    """Return the shared library that holds the foreign function; build it unless it is there."""
    own = [
        f"-I{jax.ffi.include_dir()}",
        f"-I{headers}",
        str(libdnnl),
        f"-Wl,-rpath,{libdnnl.parent}",
    ]
    compiler = os.environ.get("CXX", "c++")
    made_of = [SOURCE.read_text(), metadata.version("jaxlib"), compiler, *_FLAGS, *own]
    name = hashlib.sha256("\0".join(made_of).encode()).hexdigest()[:16]
    target = folder / f"convolution-{name}.so"
    if target.exists():
        return target
    _compiler()
    folder.mkdir(parents=True, exist_ok=True)
    with written(target) as file:
        command = [compiler, *_FLAGS, str(SOURCE), *own, "-o", str(file)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if "error" in line]
            why = (errors or done.stderr.splitlines() or ["no message"])[0]
            raise BadInputError(f"train.native: {compiler} cannot build {SOURCE.name}: {why}")
    return target
