"""Config files: ``NAME.py`` with ``get_config(arg=None)`` that starts from ``base_config()``."""

import difflib
import importlib.util
from pathlib import Path

from ml_collections import ConfigDict

from cnn_jax.config.fields import Config, base_config, leaves
from cnn_jax.config.overrides import unknown_field
from cnn_jax.errors import BadInputError


def read(spec: str) -> Config:
    """Return the config of ``FILE.py`` or ``FILE.py:ARG``.

    Raises:
        BadInputError: no such file, no ``get_config``, or fields that ``base_config`` lacks.
    """
    file, _, arg = spec.partition(":")
    path = Path(file)
    if not path.is_file():
        raise BadInputError(f"config file {file!r} does not exist{_nearest_file(path)}")
    module_spec = importlib.util.spec_from_file_location(f"config_{path.stem}", path)
    if module_spec is None or module_spec.loader is None:
        raise BadInputError(f"config file {file!r} is not a Python file (NAME.py)")
    module = importlib.util.module_from_spec(module_spec)
    try:
        module_spec.loader.exec_module(module)
        config = module.get_config(arg or None)
    except BadInputError:
        raise
    except Exception as error:
        line = str(error).replace("\n", " ").strip()
        raise BadInputError(f"config file {file!r}: {type(error).__name__}: {line}") from error
    if not isinstance(config, ConfigDict):
        raise BadInputError(f"config file {file!r}: get_config has to return a ConfigDict")
    known = {name for name, _ in leaves(base_config())} | {"data.augment"}
    for name, _ in leaves(config):
        if name not in known and not name.startswith(("model.", "data.augment.")):
            raise BadInputError(f"config file {file!r}: {unknown_field(name, known)}")
    return config


def _nearest_file(path: Path) -> str:
    folder = path.parent
    names = [p.name for p in folder.glob("*.py")] if folder.is_dir() else []
    near = difflib.get_close_matches(path.name, names, n=1)
    return f"; did you mean {str(folder / near[0])!r}?" if near else ""
