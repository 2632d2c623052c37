"""Config files: ``NAME.py`` with ``get_config(arg=None)`` that starts from ``base_config()``."""

import contextlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from cnn_jax.config.fields import Config
from cnn_jax.config.filling import whole
from cnn_jax.registry import nearest, registering
from cnn_jax.runtime import python_file
from cnn_jax.runtime.errors import BadInputError


def read(spec: str) -> Config:
    """Return the config of ``FILE.py`` or ``FILE.py:ARG``.

    The file may import what lies beside it, as a script may, and register objects.

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
