"""``--config.a.b=VALUE``: fields set on the command line, or by name."""

import ast
from collections.abc import Collection, Sequence
from copy import deepcopy
from typing import Any

from absl import flags
from ml_collections import config_flags

from cnn_jax import models
from cnn_jax.config.fields import Config, declared, leaves, sections
from cnn_jax.config.filling import AT_ONCE, set_value, unknown_field, wrong_type
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.runtime.ranges import Range
from cnn_jax.tasks import table as tasks

# How long a run is: a run has one of them.
LENGTHS = ("train.steps", "train.epochs")
UNSET = "None"


def override(config: Config, overrides: Sequence[str]) -> Config:
    """Return a copy of ``config`` with ``--config.a.b=VALUE`` flags applied.

    Of a field that is given twice the last value counts; ``None`` unsets a field that may be unset;
    a sequence may be written with commas alone, as cat,dog.
    A new name below ``data.augment`` or ``optim.options`` adds a transform or an argument.

    Raises:
        BadInputError: a field that does not exist, or a value of another type; ``train.steps`` and
            ``train.epochs`` both.
    """
    copy = deepcopy(config)  # a copy that resolves references would lose placeholders' types
    known = [name for name, _ in leaves(copy)] + sections(copy)
    values: dict[str, str] = {}
    added: dict[str, str] = {}
    for flag in overrides:
        name, equals, value = flag.removeprefix("--config.").partition("=")
        if not flag.startswith("--config.") or not equals:
            raise BadInputError(f"unknown argument {flag!r}; overrides are --config.FIELD=VALUE")
        if name not in known and name.rpartition(".")[0] in AT_ONCE:
            added[name] = value
            continue
        if name not in known:
            raise BadInputError(unknown_field(name, known))
        if name in sections(copy) and name not in AT_ONCE:
            raise BadInputError(f"config field {name!r} is a section; set one of its fields")
        values.pop(name, None)
        values[name] = _sequence(copy, name, value)
    unset = [name for name, value in values.items() if value == UNSET and _declared(copy, name)[1]]
    given = [f"--config.{name}={value}" for name, value in values.items() if name not in unset]
    # ml_collections finds the overrides in a whole command line, program name first.
    argv = ["cnn-jax", *given]
    parsed = flags.FlagValues()
    try:
        config_flags.DEFINE_config_dict("config", copy, flag_values=parsed, sys_argv=argv)
        parsed(argv)
    except (
        *(flags.Error, TypeError, ValueError, SyntaxError),
        *(RecursionError, MemoryError),  # of Python's parser, for brackets without end
    ) as error:
        raise BadInputError(_wrong_type(copy, given, error)) from error
    for name in unset:
        _set(copy, name, None)
    for name, value in added.items():
        _set(copy, name, _literal(value))
    choose_length(copy, values.keys() - unset)
    return copy


def _sequence(config: Config, name: str, text: str) -> str:
    """Return the value of a field that is a sequence as Python writes it: of "cat,dog", a tuple.

    Items that are numbers are names where the field takes names alone, as classes may be called 7.
    """
    section, last = _holder(config, name)
    if section.get_type(last) is not tuple or text[:1] in ("(", "["):
        return text
    allowed, optional = _declared(config, name)
    if text == UNSET:
        return text if optional else "()"
    items = [item.strip() for item in text.split(",") if item.strip()]
    read = tuple(_literal(item) for item in items)
    names = allowed is not None and not allowed.holds(read) and allowed.holds(tuple(items))
    return str(tuple(items) if names else read)


def _literal(text: str) -> Any:
    """Return the Python literal that a value is, or else the value as a string."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return text


def set_field(config: Config, name: str, value: Any) -> None:
    """Set a field of ``config`` by its dotted name, as the command line does; None unsets it.

    Raises ``BadInputError`` if there is no such field, or it takes another type.
    """
    known = [field for field, _ in leaves(config)] + list(AT_ONCE)
    if name not in known and name.rpartition(".")[0] not in AT_ONCE:
        raise BadInputError(unknown_field(name, known))
    _set(config, name, value)
    choose_length(config, () if value is None else (name,))


def choose_length(config: Config, given: Collection[str]) -> None:
    """Unset the length of the run that ``given`` fields replace; both are a ``BadInputError``."""
    both = [name for name in LENGTHS if name in given]
    if len(both) > 1:
        raise BadInputError(f"{' and '.join(both)} both say how long the run is; give one of them")
    if both:
        _set(config, next(name for name in LENGTHS if name != both[0]), None)


def _set(config: Config, name: str, value: Any) -> None:
    set_value(*_holder(config, name), value, name)


def _holder(config: Config, name: str) -> tuple[Config, str]:
    """Return the section that has a field, and the field's name in it."""
    *path, last = name.split(".")
    for part in path:
        config = config[part]
    return config, last


def _declared(config: Config, name: str) -> tuple[Range | None, bool]:
    """Return which values a field takes, as far as that is declared, and whether None is one."""
    section, _, last = name.rpartition(".")
    for own, table in (("model", models), ("task", tasks)):
        if section == own and last != "name":
            chosen = config[own].name
            return (None, False) if chosen is None else table.declared(chosen)[last]
    found = (field for other, field in declared() if other == name)
    return next(((field.range, field.optional) for field in found), (None, False))


def override_data(config: Config, overrides: Sequence[str]) -> Config:
    """Return a copy of a trained network's config, of which only the data may be changed.

    Raises:
        BadInputError: as ``override``, and for a field of another section.
    """
    for flag in overrides:
        if not flag.startswith("--config.data."):
            raise BadInputError(f"{flag}: of a trained network only --config.data.FIELD can be set")
    return override(config, overrides)


def _wrong_type(config: Config, overrides: Sequence[str], error: Exception) -> str:
    """Return the line for a value that its field does not take; names the first such flag."""
    for flag in overrides:
        name, _, value = flag.removeprefix("--config.").partition("=")
        if len(overrides) == 1 or flag in str(error) or f"config.{name}" in str(error):
            section, last = _holder(config, name)
            return wrong_type(name, section.get_type(last), repr(value))
    return "config: " + str(error).replace("\n", " ")
