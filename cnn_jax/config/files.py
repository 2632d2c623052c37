"""Config files: ``NAME.py`` with ``get_config(arg=None)`` that starts from ``base_config()``."""

import contextlib
import hashlib
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from ml_collections import ConfigDict

from cnn_jax.config.fields import Config
from cnn_jax.config.filling import whole
from cnn_jax.registry import nearest
from cnn_jax.runtime.errors import BadInputError

_PREFIX = "cnn_jax_config_"  # of the modules that config files make


def read(spec: str) -> Config:
    """Return the config of ``FILE.py`` or ``FILE.py:ARG``.

    The file may import what lies beside it, as a script may.

    Raises:
        BadInputError: no such file, no ``get_config``, or fields that ``base_config`` lacks.
    """
    file, _, arg = spec.partition(":")
    path = Path(file).expanduser()
    if file and path.is_dir():
        raise BadInputError(f"config file {file!r} is a folder; give a file in it (NAME.py)")
    if not path.is_file():
        raise BadInputError(f"config file {file!r} does not exist{_nearest_file(path)}")
    try:
        with _beside(path.parent.resolve()):
            made = _call(_load(path).get_config, arg or None)
        if not isinstance(made, ConfigDict):
            raise BadInputError("get_config has to return a ConfigDict; start from base_config()")
        return whole(made)
    except BadInputError as error:
        raise BadInputError(f"config file {file!r}: {error}") from error
    except (Exception, SystemExit) as error:
        line = str(error).replace("\n", " ").strip()
        reason = f"{type(error).__name__}: {line}{_line_of(error, path.resolve())}"
        raise BadInputError(f"config file {file!r}: {reason}") from error


def _load(path: Path) -> Any:
    """Return the module that a config file makes."""
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


def _call(get_config: Callable[..., Any], arg: str | None) -> Any:
    """Return what ``get_config`` makes of the argument, or without one where it takes none."""
    signature = inspect.signature(get_config)
    for arguments in ((arg,), ()):
        with contextlib.suppress(TypeError):
            signature.bind(*arguments)
            break
    else:
        raise BadInputError(f"get_config{signature} has to take one argument, or none")
    if not arguments and arg is not None:
        raise BadInputError(f"get_config takes no argument; leave {f':{arg}'!r} out")
    return get_config(*arguments)


@contextlib.contextmanager
def _beside(folder: Path) -> Iterator[None]:
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
    return folder in (file.parent, file.parent.parent) and not _is_config(module)


def _is_config(module: ModuleType) -> bool:
    return module.__name__.startswith(_PREFIX)


def _line_of(error: BaseException, path: Path) -> str:
    """Return where in the config file an error arose, for the end of its line."""
    if isinstance(error, SyntaxError):  # its own words say
        return ""
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).resolve() == path]
    return f" (line {lines[-1]})" if lines else ""


def _nearest_file(path: Path) -> str:
    folder = path.parent
    names = [p.name for p in folder.glob("*.py")] if folder.is_dir() else []
    near = nearest(path.name, names)
    return f"; did you mean {str(folder / near[0])!r}?" if near else ""
