"""cnn-jax: research on convolutional networks in JAX and Flax.

Everything below is there after ``import cnn_jax``, which itself loads neither jax nor Flax: a name
is imported when it is first asked for.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cnn_jax import ablation as ablation
    from cnn_jax import analysis as analysis
    from cnn_jax import config as config
    from cnn_jax import data as data
    from cnn_jax import deploy as deploy
    from cnn_jax import inspection as inspection
    from cnn_jax import models as models
    from cnn_jax import nn as nn
    from cnn_jax import ops as ops
    from cnn_jax import planning as planning
    from cnn_jax import runs as runs
    from cnn_jax import runtime as runtime
    from cnn_jax import tasks as tasks
    from cnn_jax import train as train
    from cnn_jax import transfer as transfer
    from cnn_jax.data.dataset import Dataset
    from cnn_jax.deploy.export import load_exported
    from cnn_jax.registry import register
    from cnn_jax.runs.evaluate import evaluate_run
    from cnn_jax.runs.probing import probe
    from cnn_jax.runs.run import load_run, train_and_evaluate
    from cnn_jax.tasks import Classification, Multilabel
    from cnn_jax.train.events import Every
    from cnn_jax.train.fitted import Fitted
    from cnn_jax.train.setup import Execution
    from cnn_jax.train.trainer import Trainer

    __version__: str

__all__ = [
    "Classification",
    "Dataset",
    "Every",
    "Execution",
    "Fitted",
    "Multilabel",
    "Trainer",
    "ablation",
    "analysis",
    "config",
    "data",
    "deploy",
    "evaluate_run",
    "inspection",
    "load_exported",
    "load_run",
    "models",
    "nn",
    "ops",
    "planning",
    "probe",
    "register",
    "runs",
    "runtime",
    "tasks",
    "train",
    "train_and_evaluate",
    "transfer",
]

# Name -> the module that defines it; the other names of __all__ are packages.
_HOMES = {
    "Classification": "tasks",
    "Dataset": "data.dataset",
    "Every": "train.events",
    "Execution": "train.setup",
    "Fitted": "train.fitted",
    "Multilabel": "tasks",
    "Trainer": "train.trainer",
    "evaluate_run": "runs.evaluate",
    "load_exported": "deploy.export",
    "load_run": "runs.run",
    "probe": "runs.probing",
    "register": "registry",
    "train_and_evaluate": "runs.run",
}


if not TYPE_CHECKING:  # a checker knows the names above, and no others

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            value = _version()
        elif name in _HOMES:
            value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        elif name in __all__:
            value = importlib.import_module(f"{__name__}.{name}")
        else:
            # With its name and its object, Python adds what was probably meant.
            raise AttributeError(
                f"module {__name__!r} has no attribute {name!r}",
                name=name,
                obj=sys.modules[__name__],
            )
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})


def _version() -> str:
    """Return the version that is installed; '0+unknown' of files that were never installed."""
    from importlib import metadata  # loads a parser of e-mails, which would be most of the import

    try:
        return metadata.version("cnn-jax")
    except metadata.PackageNotFoundError:
        return "0+unknown"
