"""Filling a config with values from elsewhere, with the lines that wrong ones get."""

from collections.abc import Collection, Mapping
from typing import Any

from ml_collections import ConfigDict

from cnn_jax.config.fields import Config, base_config, leaves, ordered, sections
from cnn_jax.registry import nearest
from cnn_jax.runtime.errors import BadInputError

# Sections whose fields are known only once the model, the task and so on are.
OPEN = ("model", "task", "data.augment", "optim.options")
# Those of them that are set as a whole: what one has is no default of the other's.
AT_ONCE = ("data.augment", "optim.options")


def whole(config: ConfigDict) -> Config:
    """Return a config with every field and its type; ``config`` itself where it has them.

    Others lack some: a ``FrozenConfigDict``, or one that does not start from ``base_config()``.
    Raises ``BadInputError`` for a field that does not exist or takes another type.
    """
    base = base_config()
    known = dict(leaves(base)).keys() | set(sections(base))
    held = dict(leaves(config)).keys() | set(sections(config))
    if type(config) is type(base) and known <= held:
        check_names(config)
        return config
    fill(base, config)
    return base


def check_names(config: Config) -> None:
    """Raise ``BadInputError`` for a field that no section has; models and transforms have theirs.

    A ConfigDict takes new fields, misspelt ones among them, without a word.
    """
    known = {name for name, _ in leaves(base_config())} | set(OPEN)
    for name, _ in leaves(config):
        if name not in known and not name.startswith(tuple(f"{each}." for each in OPEN)):
            raise BadInputError(unknown_field(name, known))


def fill(config: Config, values: Mapping[str, Any] | ConfigDict, prefix: str = "") -> None:
    """Set fields of a config to ``values``, sections to dicts of theirs; None unsets a field.

    Raises ``BadInputError`` for a field that does not exist or takes another type.
    """
    given = ordered(values) if isinstance(values, ConfigDict) else values
    for key, value in given.items():
        name = f"{prefix}{key}"
        is_open = prefix.removesuffix(".") in OPEN
        if key not in config and not is_open:
            raise BadInputError(unknown_field(name, [prefix + each for each in config]))
        section = config.get(key)
        if isinstance(section, ConfigDict) and name not in AT_ONCE:
            if not isinstance(value, (Mapping, ConfigDict)):
                raise BadInputError(f"config field {name!r} is a section, not {value!r}")
            fill(section, value, f"{name}.")
        else:
            set_value(config, key, value, name)


def set_value(section: Config, key: str, value: Any, name: str) -> None:
    """Set a field, called ``name``; raises ``BadInputError`` where it takes another type."""
    try:
        with section.unlocked():
            section[key] = value
    except (TypeError, ValueError):
        if key not in section:
            raise BadInputError(f"config field {name!r} is no name of a field") from None
        raise BadInputError(wrong_type(name, section.get_type(key), repr(value))) from None


def wrong_type(name: str, kind: type, value: str) -> str:
    """Return the line for a value, as it is written, that a field's type excludes."""
    known = {"section": "dict", "configdict": "dict", "str": "string", "nonetype": "value"}
    words = known.get(kind.__name__.lower(), kind.__name__)
    article = "an" if words[0] in "aeiou" else "a"
    return f"config field {name!r} takes {article} {words}, not {value}"


def unknown_field(name: str, known: Collection[str]) -> str:
    """Return the line that says a field does not exist, with the nearest one that does."""
    # A typo in the last part is likelier than one in the section, so try the section's first.
    section = name.rpartition(".")[0]
    siblings = [other for other in known if other.rpartition(".")[0] == section]
    near = nearest(name, siblings) or nearest(name, known)
    if near:
        return f"config field {name!r} does not exist; did you mean {near[0]!r}?"
    return f"config field {name!r} does not exist; there are {', '.join(sorted(siblings or known))}"
