"""How a network is called, which may or may not tell training from inference."""

import inspect
from typing import Any

import flax.linen as nn


def mode(module: nn.Module, *, train: bool) -> dict[str, Any]:
    """Return the keyword arguments of a module's call: ``train``, where it takes one."""
    takes_train = "train" in inspect.signature(type(module).__call__).parameters
    return {"train": train} if takes_train else {}
