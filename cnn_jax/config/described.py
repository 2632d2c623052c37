"""A config as lines of overrides: every field with its value and what it means."""

from typing import Any, NamedTuple

from cnn_jax import models
from cnn_jax.config.fields import Config, declared, leaves, ordered
from cnn_jax.config.filling import AT_ONCE
from cnn_jax.config.stored import plain
from cnn_jax.tasks import table as tasks


class Described(NamedTuple):
    """A field: its dotted name, its value as an override has it, what it means."""

    name: str
    value: str
    comment: str

    @property
    def line(self) -> str:
        """The field as a line of a file of overrides."""
        return f"{self.name}={self.value}".ljust(40) + f"  # {self.comment}"


# What sections say that are set as a whole.
_WHOLE = {
    "data.augment": "transform -> its arguments, in order",
    "optim.options": "further arguments of the optimizer's factory",
}


def described(config: Config) -> list[Described]:
    """Return all fields of a complete config, in their order."""
    comments = {name: field.comment for name, field in declared()}
    for own, table in (("model", models), ("task", tasks)):
        name = config[own].name
        ranges = {} if name is None else table.declared(name)
        comments |= {f"{own}.{field}": _said(*each) for field, each in ranges.items()}
    found: dict[str, Described] = {}
    whole = tuple(f"{name}." for name in AT_ONCE)
    for name, value in leaves(config):
        if not name.startswith(whole):
            found[name] = Described(name, _written(value), comments.get(name, ""))
    for name in AT_ONCE:
        section, _, last = name.partition(".")
        found[name] = Described(name, repr(_values(config[section][last])), _WHOLE[name])
    order = list(dict.fromkeys(name.split(".")[0] for name in found))
    return sorted(found.values(), key=lambda each: order.index(each.name.split(".")[0]))


def _said(allowed: Any, optional: bool) -> str:
    words = "" if allowed is None else str(allowed)
    return f"{words}; the network's own if unset".lstrip("; ") if optional else words


def _written(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)


def _values(section: Config) -> dict[str, Any]:
    return {name: plain(value) for name, value in ordered(section).items()}
