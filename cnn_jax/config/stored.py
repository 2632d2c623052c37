"""Configs as JSON, and what may differ between a stored one and that of a run that resumes."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from cnn_jax.config.fields import Config, add_fields, base_config, leaves, ordered

# Fields that may differ when a run is resumed: none of them changes what is computed.
NEUTRAL = (
    "data.dir",
    "data.threads",
    "data.workers",
    "train.log_every",
    "train.writers",
    "train.profile",
    "train.flow_every",
    "train.strategy",
    "train.shard_state",
    "train.steps_per_call",
    "checkpoint.",
)


def to_json(config: Config) -> str:
    """Return the config as indented JSON, fields in their order."""
    return json.dumps(_plain(config), indent=2) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, ConfigDict):
        return {name: _plain(item) for name, item in ordered(value).items()}
    return list(value) if isinstance(value, tuple) else value


def from_json(text: str, fields: Mapping[str, Any]) -> Config:
    """Return the config that ``to_json`` wrote; ``fields`` are the model's, with defaults."""
    config = base_config()
    add_fields(config.model, fields)
    _fill(config, json.loads(text))
    return config


def _fill(config: Config, values: Mapping[str, Any]) -> None:
    with config.unlocked():
        for name, value in values.items():
            section: Any = config.get(name)
            if isinstance(value, dict) and isinstance(section, ConfigDict):
                _fill(section, value)
            elif value is not None:
                config[name] = _with_tuples(value)


def _with_tuples(value: Any) -> Any:
    """Return what JSON made lists of as tuples again, arguments of transforms included."""
    if isinstance(value, dict):
        return {name: _with_tuples(item) for name, item in value.items()}
    return tuple(_with_tuples(item) for item in value) if isinstance(value, list) else value


def difference(old: Config, new: Config, *, ignore: Sequence[str] = ()) -> str | None:
    """Return the first field in which a resumed run would differ, as a line, or None."""
    before, after = dict(leaves(old)), dict(leaves(new))
    for name in [*before, *(name for name in after if name not in before)]:
        if name in ignore or name.startswith(NEUTRAL):
            continue
        if before.get(name) != after.get(name):
            return f"{name} is {before.get(name)!r} there and {after.get(name)!r} here"
    # The order in which transforms are applied is part of what is computed.
    if list(ordered(old.data.augment)) != list(ordered(new.data.augment)):
        return "data.augment names other transforms or another order"
    return None
