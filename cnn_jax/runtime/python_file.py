"""Python files as modules: what config files and plug-ins are read by."""

import contextlib
import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from cnn_jax.runtime.errors import BadInputError

_PREFIX = "cnn_jax_file_"  # of the modules that files make


def load(path: Path) -> Any:
    """Return the module that a file makes; what it raises goes through.

    Within ``beside`` the file may import what lies beside it, as a script may.
    """
    # Dataclasses look their module up by its name, which files of one name must not share.
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
    name = f"{_PREFIX}{path.stem}_{digest}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise BadInputError("it is not a Python file (NAME.py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextlib.contextmanager
def beside(folder: Path) -> Iterator[None]:
    """Let imports find what lies in ``folder``; forget it afterwards.

    Another folder's files may have the same names.
    """
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # the file may have changed the path itself
            sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            if name.partition(".")[0] not in before and _lies_in(sys.modules[name], folder):
                del sys.modules[name]


def _lies_in(module: ModuleType, folder: Path) -> bool:
    """Return whether a module is a file in ``folder``, or belongs to a package in it."""
    top = sys.modules.get(module.__name__.partition(".")[0], module)
    file = Path(getattr(top, "__file__", None) or "")
    return folder in (file.parent, file.parent.parent) and not top.__name__.startswith(_PREFIX)


def reason(error: BaseException, path: Path | None = None) -> str:
    """Return why foreign code failed, as one line, with the line of the file at ``path``."""
    line = str(error).replace("\n", " ").strip()
    return f"{type(error).__name__}: {line}{_line_of(error, path)}"


def _line_of(error: BaseException, path: Path | None) -> str:
    if path is None or isinstance(error, SyntaxError):  # whose own words say
        return ""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == path.resolve()]
    return f" (line {lines[-1]})" if lines else ""
