"""``--config.a.b=VALUE``: fields set on the command line."""

import difflib
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from absl import flags
from ml_collections import config_flags

from cnn_jax.config.fields import Config, leaves, sections
from cnn_jax.errors import BadInputError


def override(config: Config, overrides: Sequence[str]) -> Config:
    """Return a copy of ``config`` with ``--config.a.b=VALUE`` flags applied.

    Raises:
        BadInputError: a field that does not exist, or a value of another type.
    """
    copy = deepcopy(config)  # a copy that resolves references would lose placeholders' types
    known = [name for name, _ in leaves(copy)] + sections(copy)
    for flag in overrides:
        name, equals, _ = flag.removeprefix("--config.").partition("=")
        if not flag.startswith("--config.") or not equals:
            raise BadInputError(f"unknown argument {flag!r}; overrides are --config.FIELD=VALUE")
        if name not in known:
            raise BadInputError(unknown_field(name, known))
        if name in sections(copy) and name != "data.augment":
            raise BadInputError(f"config field {name!r} is a section; set one of its fields")
    # ml_collections finds the overrides in a whole command line, program name first.
    argv = ["cnn-jax", *overrides]
    values = flags.FlagValues()
    try:
        config_flags.DEFINE_config_dict("config", copy, flag_values=values, sys_argv=argv)
        values(argv)
    except (flags.Error, TypeError, ValueError, SyntaxError) as error:
        raise BadInputError(_wrong_type(copy, overrides, error)) from error
    return copy


def override_data(config: Config, overrides: Sequence[str]) -> Config:
    """Return a copy of a trained network's config, of which only the data may be changed.

    Raises:
        BadInputError: as ``override``, and for a field of another section.
    """
    for flag in overrides:
        if not flag.startswith("--config.data."):
            raise BadInputError(f"{flag}: of a trained network only --config.data.FIELD can be set")
    return override(config, overrides)


def unknown_field(name: str, known: Sequence[str] | set[str]) -> str:
    """Return the line that says a field does not exist, with the nearest one that does."""
    # A typo in the last part is likelier than one in the section, so try the section's first.
    section = name.rpartition(".")[0]
    siblings = [other for other in known if other.rpartition(".")[0] == section]
    near = difflib.get_close_matches(name, siblings, n=1) or difflib.get_close_matches(
        name, sorted(known), n=1
    )
    if near:
        return f"config field {name!r} does not exist; did you mean {near[0]!r}?"
    return f"config field {name!r} does not exist; there are {', '.join(sorted(siblings or known))}"


def _wrong_type(config: Config, overrides: Sequence[str], error: Exception) -> str:
    """Return the line for a value that its field does not take; names the first such flag."""
    for flag in overrides:
        name, _, value = flag.removeprefix("--config.").partition("=")
        if len(overrides) == 1 or flag in str(error) or f"config.{name}" in str(error):
            *path, last = name.split(".")
            section: Any = config
            for part in path:
                section = section[part]
            kind = section.get_type(last).__name__.lower()
            return f"config field {name!r} takes {_an(kind)}, not {value!r}"
    return "config: " + str(error).replace("\n", " ")


def _an(kind: str) -> str:
    kind = {"configdict": "dict", "str": "string"}.get(kind, kind)
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"
