"""Tasks by name, as configs have them."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, cast

from cnn_jax.registry import look_up, suggestion, table
from cnn_jax.runtime import ranges
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.tasks.classification import Classification
from cnn_jax.tasks.multilabel import Multilabel

TASKS: dict[str, Callable[..., Any]] = table(
    "task", {"classification": Classification, "multilabel": Multilabel}
)
USUAL = "classification"

# What other sections of a config, and the network, say.
ELSEWHERE = ("classes", "label_smoothing", "aux_weights")


def _constructor(name: str) -> Any:
    return look_up(TASKS, name, "task.name: unknown task", count=3)


def _declared(name: str) -> dict[str, dataclasses.Field[Any]]:
    made = _constructor(name)
    if not dataclasses.is_dataclass(made):
        raise BadInputError(f"task.name: the task {name!r} is no dataclass; its fields are unknown")
    return {field.name: field for field in dataclasses.fields(cast(Any, made)) if field.init}


def fields(name: str) -> dict[str, Any]:
    """Return the fields of a task that a config may set: name to default.

    Those whose default is no plain value, such as a function, are not among them.
    """
    return {
        field: each.default
        for field, each in _declared(name).items()
        if field not in ELSEWHERE
        and (each.default is None or isinstance(each.default, (bool, int, float, str, tuple)))
    }


def declared(name: str) -> Mapping[str, tuple[ranges.Range | None, bool]]:
    """Return what the fields of a task take: name -> (range, whether None is one more value)."""
    found = ranges.declared(_constructor(name))
    return {field: found.get(field, (None, True)) for field in fields(name)}


def create(
    name: str | None,
    *,
    classes: int,
    label_smoothing: float = 0.0,
    aux_weights: tuple[float, ...] = (),
    **values: Any,
) -> Any:
    """Return the task ``name``, a classification if None.

    Args:
        name: of the table.
        classes: how many the data have.
        label_smoothing: of the loss.
        aux_weights: of the losses of the network's auxiliary heads.
        values: of the task's own fields.

    Raises:
        BadInputError: an unknown name or field, or a smoothing that the task does not have.
    """
    name = name or USUAL
    known, allowed = _declared(name), declared(name)
    for field, value in values.items():
        if field not in allowed:
            meant = suggestion(field, sorted(allowed), count=3) or "none"
            raise BadInputError(f"task {name!r} has no field {field!r}; it has {meant}")
        one, optional = allowed[field]
        if one is not None:
            ranges.check(f"task.{field}", value, one, optional=optional)
    given = {"classes": classes, "label_smoothing": label_smoothing, "aux_weights": aux_weights}
    if label_smoothing and "label_smoothing" not in known:
        raise BadInputError(
            f"optim.label_smoothing is {label_smoothing}; the task {name!r} has none: set 0"
        )
    taken = {field: value for field, value in given.items() if field in known}
    return _constructor(name)(**taken, **values)
