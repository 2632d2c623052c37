"""`inspect`: pictures of a run's network, by kind.

Importing this loads no JAX: help names the kinds, and has to be quick.
"""

import importlib
from typing import TYPE_CHECKING, Any

from cnn_jax.inspection.kinds import KINDS, check

if TYPE_CHECKING:
    from cnn_jax.inspection.drawing import inspect
    from cnn_jax.inspection.subject import Subject, open_run

__all__ = ["KINDS", "Subject", "check", "inspect", "open_run"]

_HOMES = {"inspect": "drawing", "Subject": "subject", "open_run": "subject"}

if not TYPE_CHECKING:  # a checker knows the names above, and no others

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        globals()[name] = value
        return value
