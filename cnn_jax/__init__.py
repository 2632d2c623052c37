"""cnn-jax: research on convolutional networks in JAX and Flax."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnn_jax.deploy.export import load_exported
    from cnn_jax.runs.run import load_run, train_and_evaluate

__all__ = ["load_exported", "load_run", "train_and_evaluate"]


def __getattr__(name: str) -> Any:
    # Importing the package stays cheap: a run's machinery is imported when it is asked for.
    if name in __all__:
        home = "deploy.export" if name == "load_exported" else "runs.run"
        return getattr(importlib.import_module(f"cnn_jax.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
