"""How a network or a layer is called, which may or may not tell training from inference."""

import inspect
from typing import Any


def mode(module: Any, *, train: bool) -> dict[str, Any]:
    """Return the keyword arguments that tell a module's call whether it trains, as it takes them.

    They are ``train``, or Flax's ``use_running_average`` and ``deterministic``, which are true in
    inference; none where it takes none.
    """
    takes = inspect.signature(type(module).__call__).parameters
    said = {"train": train, "use_running_average": not train, "deterministic": not train}
    return {name: value for name, value in said.items() if name in takes}


def fields(kind: Any) -> set[str]:
    """Return the names of a module class's fields that are left to set, or of a partial's of it."""
    return set(inspect.signature(kind).parameters) - set(getattr(kind, "keywords", {}))
