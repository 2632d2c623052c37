"""Configs as JSON: config.json, and what may differ between a stored run and a resumed one."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NotRequired, TypedDict

from ml_collections import ConfigDict

from cnn_jax import models
from cnn_jax.config import plugged
from cnn_jax.config.checks import check_fields
from cnn_jax.config.fields import Config, add_fields, base_config, leaves, ordered
from cnn_jax.config.filling import fill
from cnn_jax.config.numerics import numerics_of
from cnn_jax.runtime import json_file
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.tasks import table as tasks

# 1, which notes no number: the fields alone. 2: and ``numerics``, ``format`` and ``digest``.
FORMAT = 2
NUMERICS = "numerics"
EXTENDS = "extends"
_MARKS = (json_file.FORMAT, json_file.DIGEST, NUMERICS, plugged.PLUGINS, EXTENDS)

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


class _Model(TypedDict):
    name: str


class _File(TypedDict):
    """What config.json holds; the sections' fields have ranges of their own."""

    seed: int
    model: _Model
    data: dict[str, Any]
    optim: dict[str, Any]
    train: dict[str, Any]
    init: dict[str, Any]
    eval: dict[str, Any]
    checkpoint: dict[str, Any]
    task: NotRequired[dict[str, Any]]
    numerics: NotRequired[dict[str, int]]
    plugins: NotRequired[dict[str, str]]
    extends: NotRequired[list[str]]


class Stored(NamedTuple):
    """What config.json says: the run's config, and the versions of its arithmetic by name.

    ``extends`` are the identities of the shorter runs that this one goes on from, the first first.
    """

    config: Config
    numerics: dict[str, int]
    extends: tuple[str, ...] = ()


def write_stored(file: Path, config: Config, extends: Sequence[str] = ()) -> None:
    """Write a run's config.json, whole or not at all; ``extends`` as ``Stored`` has it."""
    notes: dict[str, Any] = {NUMERICS: numerics_of(config)}
    if brought := plugged.noted(config):
        notes[plugged.PLUGINS] = brought
    if extends:
        notes[EXTENDS] = list(extends)
    json_file.write(file, notes | plain(config), version=FORMAT)


def read_stored(file: Path) -> Stored | None:
    """Return what a run's config.json says, None if there is none.

    Raises ``UnreadableFileError`` for a file that is damaged, of a newer format, that lacks a
    section, or has a field that does not exist or a value that it does not take, and
    ``BadInputError`` where it names what a plug-in has to bring first.
    """
    held: Any = json_file.find(file, _File, "a run's config", version=FORMAT)
    if held is None:
        return None
    try:
        plugged.check_registered(held.get(plugged.PLUGINS, {}))
    except BadInputError as error:
        raise BadInputError(f"{str(file)!r} cannot be read here: {error}") from None
    fields = {name: value for name, value in held.items() if name not in _MARKS}
    if held.get(json_file.FORMAT, 1) == 1 and fields["train"].get("steps") is not None:
        # A run of before may name both; the steps won.
        fields["train"] = fields["train"] | {"epochs": None}
    try:
        config = from_plain(fields, models.fields(held["model"]["name"]))
        check_fields(config)
    except BadInputError as error:
        raise json_file.UnreadableFileError(file, f"is not a run's config: {error}") from None
    return Stored(config, held.get(NUMERICS, {}), tuple(held.get(EXTENDS, ())))


def to_json(config: Config) -> str:
    """Return the config as indented JSON, fields in their order."""
    return json.dumps(plain(config), indent=2) + "\n"


def plain(value: Any) -> Any:
    """Return a config, or a value of one, as JSON has it."""
    if isinstance(value, ConfigDict):
        return {name: plain(item) for name, item in ordered(value).items()}
    return [plain(item) for item in value] if isinstance(value, tuple) else value


def from_json(text: str, fields: Mapping[str, Any]) -> Config:
    """Return the config that ``to_json`` wrote; ``fields`` are the model's, with defaults."""
    return from_plain(json.loads(text), fields)


def from_plain(values: Mapping[str, Any], fields: Mapping[str, Any]) -> Config:
    """Return the config that ``plain`` made JSON of; ``fields`` are the model's, with defaults.

    Raises ``BadInputError`` for a field that does not exist or takes another type.
    """
    config = base_config()
    add_fields(config.model, fields)
    add_task_fields(config, values.get("task", {}).get("name"))
    fill(config, values)
    return config


def add_task_fields(config: Config, name: str | None) -> None:
    """Give a config's section ``task`` the fields of the task ``name``; none where it is unset."""
    if name is not None:
        add_fields(config.task, tasks.fields(name))


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
