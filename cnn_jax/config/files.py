"""Config files: ``NAME.py`` with ``get_config(arg=None)`` that starts from ``base_config()``."""

import contextlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from cnn_jax.config import library
from cnn_jax.config.fields import Config
from cnn_jax.config.filling import whole
from cnn_jax.registry import nearest, registering, suggestion
from cnn_jax.runtime import python_file
from cnn_jax.runtime.errors import BadInputError


def read(spec: str) -> Config:
    """Return the config of ``FILE.py`` or ``FILE.py:ARG``; of ``NAME``, one of the library's own.

    The file may import what lies beside it, as a script may, and register objects.

    Raises:
        BadInputError: no such file, no ``get_config``, or fields that ``base_config`` lacks.
    """
    file, _, arg = spec.partition(":")
    path = _path(file)
    try:
        with registering(file, path), python_file.beside(path.parent.resolve()):
            made = _call(python_file.load(path).get_config, arg or None)
        if not isinstance(made, ConfigDict):
            raise BadInputError("get_config has to return a ConfigDict; start from base_config()")
        return whole(made)
    except BadInputError as error:
        raise BadInputError(f"config file {file!r}: {error}") from error
    except (Exception, SystemExit) as error:
        why = python_file.reason(error, path)
        raise BadInputError(f"config file {file!r}: {why}") from error


def _path(file: str) -> Path:
    """Return the file that a spec names."""
    path, own = Path(file).expanduser(), library.configs()
    if library.is_name(file):
        if file in own:
            return own[file]
        if not path.exists():
            meant = suggestion(file, own)
            raise BadInputError(
                f"no config of the library is called {file!r}; did you mean {meant}?"
            )
    if file and path.is_dir():
        raise BadInputError(f"config file {file!r} is a folder; give a file in it (NAME.py)")
    if path.is_file():
        return path
    if path.stem in own:
        raise BadInputError(
            f"config file {file!r} does not exist here; the library's own is --config={path.stem}"
        )
    raise BadInputError(f"config file {file!r} does not exist{_nearest_file(path)}")


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


def _nearest_file(path: Path) -> str:
    folder = path.parent
    names = [p.name for p in folder.glob("*.py")] if folder.is_dir() else []
    near = nearest(path.name, names)
    return f"; did you mean {str(folder / near[0])!r}?" if near else ""
