"""Configs: the fields with their types and defaults, files, overrides, JSON.

A config file is ``NAME.py`` with ``get_config(arg=None)`` that starts from ``base_config()``.
"""

import difflib
import importlib.util
import json
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

from absl import flags
from ml_collections import ConfigDict, config_dict, config_flags

from cnn_jax.data.subsample import MISSING, SMALLER
from cnn_jax.errors import BadInputError

placeholder = config_dict.placeholder

# A ConfigDict. ml_collections declares every field as a union of all types, which a type checker
# can do nothing with.
Config = Any

PRECISIONS = ("float32", "bfloat16", "float64")
STRATEGIES = ("jit", "pmap")

# Fields that may differ when a run is resumed: none of them changes what is computed.
NEUTRAL = (
    "data.dir",
    "data.threads",
    "data.workers",
    "train.log_every",
    "train.writers",
    "train.profile",
    "train.strategy",
    "train.shard_state",
    "train.steps_per_call",
    "checkpoint.",
)


def base_config() -> Config:
    """Return every field with its default; a field without one is a typed placeholder."""
    return ConfigDict(
        {
            "seed": 0,  # of initial weights, order, augmentation and the validation cut
            "model": {"name": placeholder(str)},  # and that constructor's fields
            "data": {
                "name": placeholder(str),  # a source: digits, folder, mnist, cifar10, synthetic ...
                "dir": placeholder(str),  # folder: the images; else where prepared sets are kept
                "train": "train",  # what is trained on: a split or a slice, such as train[:90%]
                "test": placeholder(str),  # likewise; test, or else validation, if unset
                "validation": 0.1,  # share cut from training, seeded and stratified
                "per_class": placeholder(int),  # train on so many of each class; the rest is unused
                "image_size": placeholder(
                    object
                ),  # pixels a side or (rows, columns); others resized
                "crop": placeholder(float),  # share of the side in the centred window that is shown
                "subsample": placeholder(float),  # share of the pixels that is kept ...
                "subsample_as": "smaller",  # ... as smaller images, or with pixels missing
                "mean": placeholder(tuple),  # a channel, of pixels in 0..1; from training if unset
                "std": placeholder(tuple),
                "classes": placeholder(int),  # as the data say, if unset
                "batch_size": 128,  # examples a step over all devices
                "augment": {},  # transform -> its arguments, in order
                "stream": placeholder(bool),  # read from disk at every step; as the size says
                "threads": placeholder(int),  # that read ahead; the cores if unset
                "workers": 0,  # processes that read ahead instead of threads of this one
                "on_error": "raise",  # raise | skip: what a broken image file does
            },
            "optim": {
                # sgd | nesterov | adam | adamw | rmsprop | lars | lamb | muon | sam
                "name": "sgd",
                "learning_rate": 0.1,
                "schedule": "constant",  # constant | cosine | step | onecycle
                "milestones": (),  # step: the steps at which the rate is multiplied ...
                "factor": 0.1,  # ... by this
                "warmup": 0,  # steps of linear growth from zero
                # A tenth of the rate until the training error falls below this share.
                "warmup_error": placeholder(float),
                "momentum": 0.9,  # sgd, nesterov, sam, rmsprop, lars, muon
                "weight_decay": 0.0,  # on kernels only
                "clip": placeholder(float),  # global norm of the gradient
                "label_smoothing": 0.0,
                "ema": placeholder(float),  # decay of the parameters' running mean; none if unset
                # Parts that a batch is cut into, one after the other, to save memory. BatchNorm
                # normalises each part by itself.
                "accumulate": 1,
            },
            "train": {
                "steps": placeholder(int),  # optimizer updates; wins over epochs
                "epochs": placeholder(float),
                "log_every": 50,  # steps
                "precision": "float32",  # float32 | bfloat16 | float64
                "strategy": "jit",  # jit | pmap: the same step, compiled in another way
                "shard_state": False,  # jit: cut parameters and optimizer state over the devices
                "steps_per_call": placeholder(int),  # steps a dispatch; chosen by platform if unset
                "stat_batch": placeholder(int),  # examples that BatchNorm normalises together
                "deterministic": False,  # bit-identical repetition on GPUs too, at some speed
                "writers": (),  # beside metrics.jsonl: tensorboard, wandb
                "profile": placeholder(str),  # START:STOP: trace these steps into profile/
            },
            "eval": {"every": placeholder(int)},  # steps; an epoch if unset
            # The best is kept beside the latest; two, in case the newest is damaged.
            "checkpoint": {"every": placeholder(int), "keep": 2},  # steps; an epoch if unset
        }
    )


def read(spec: str) -> Config:
    """Return the config of ``FILE.py`` or ``FILE.py:ARG``.

    Raises:
        BadInputError: no such file, no ``get_config``, or fields that ``base_config`` lacks.
    """
    file, _, arg = spec.partition(":")
    path = Path(file)
    if not path.is_file():
        raise BadInputError(f"config file {file!r} does not exist{_nearest_file(path)}")
    module_spec = importlib.util.spec_from_file_location(f"config_{path.stem}", path)
    if module_spec is None or module_spec.loader is None:
        raise BadInputError(f"config file {file!r} is not a Python file (NAME.py)")
    module = importlib.util.module_from_spec(module_spec)
    try:
        module_spec.loader.exec_module(module)
        config = module.get_config(arg or None)
    except BadInputError:
        raise
    except Exception as error:
        line = str(error).replace("\n", " ").strip()
        raise BadInputError(f"config file {file!r}: {type(error).__name__}: {line}") from error
    if not isinstance(config, ConfigDict):
        raise BadInputError(f"config file {file!r}: get_config has to return a ConfigDict")
    known = {name for name, _ in leaves(base_config())} | {"data.augment"}
    for name, _ in leaves(config):
        if name not in known and not name.startswith(("model.", "data.augment.")):
            raise BadInputError(f"config file {file!r}: {unknown_field(name, known)}")
    return config


def _nearest_file(path: Path) -> str:
    folder = path.parent
    names = [p.name for p in folder.glob("*.py")] if folder.is_dir() else []
    near = difflib.get_close_matches(path.name, names, n=1)
    return f"; did you mean {str(folder / near[0])!r}?" if near else ""


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


def ordered(section: Config) -> dict[str, Any]:
    """Return a section's fields in the order they were written, which ``items()`` sorts away."""
    # ml_collections keeps the order and offers it only for dicts built with sort_keys=False,
    # which those nested inside are not.
    return {name: section[name] for name in section._fields}


def leaves(config: Config, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, value) of every field that is not a section, in order."""
    for name, value in ordered(config).items():
        if isinstance(value, ConfigDict):
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def sections(config: Config, prefix: str = "") -> list[str]:
    """Return the dotted names of all sections."""
    found = []
    for name, value in ordered(config).items():
        if isinstance(value, ConfigDict):
            found += [prefix + name, *sections(value, f"{prefix}{name}.")]
    return found


def add_fields(section: Config, defaults: Mapping[str, Any]) -> None:
    """Add fields to a section where they are missing, with their defaults and types."""
    with section.unlocked():
        for name, value in defaults.items():
            if name in section:
                continue
            if value is None:
                section[name] = placeholder(object)
            elif isinstance(value, (bool, int, float, str, tuple)):
                section[name] = value


def check(config: Config) -> None:
    """Raise ``BadInputError`` for the first value that no run could use."""
    data, optim, train = config.data, config.optim, config.train

    def need(good: bool, field: str, value: Any, right: str) -> None:
        if not good:
            raise BadInputError(f"config field {field!r} is {value!r}; it has to be {right}")

    need(config.model.name is not None, "model.name", None, "the name of a model")
    need(data.name is not None, "data.name", None, "the name of a data source")
    need(data.batch_size >= 1, "data.batch_size", data.batch_size, "at least 1")
    need(0 <= data.validation < 1, "data.validation", data.validation, "at least 0 and below 1")
    size = data.image_size if isinstance(data.image_size, tuple) else (data.image_size,)
    whole = all(isinstance(n, int) and n >= 1 for n in size) and len(size) <= 2
    need(size == (None,) or whole, "data.image_size", data.image_size, "pixels or (rows, columns)")
    for name in ("crop", "subsample"):
        value = data[name]
        need(value is None or 0 < value <= 1, f"data.{name}", value, "above 0 and at most 1")
    reading = data.subsample_as
    need(reading in (SMALLER, MISSING), "data.subsample_as", reading, f"{SMALLER} or {MISSING}")
    per_class, threads = data.per_class, data.threads
    need(per_class is None or per_class >= 1, "data.per_class", per_class, "at least 1")
    need(threads is None or threads >= 1, "data.threads", threads, "at least 1")
    need(data.workers >= 0, "data.workers", data.workers, "at least 0")
    for name in ("mean", "std"):
        numbers = data[name] is None or all(isinstance(x, (int, float)) for x in data[name])
        need(numbers, f"data.{name}", data[name], "a number a channel, such as (0.5,)")
    need(min(data.std or (1,)) > 0, "data.std", data.std, "above 0")
    need(data.on_error in ("raise", "skip"), "data.on_error", data.on_error, "'raise' or 'skip'")
    need(optim.learning_rate > 0, "optim.learning_rate", optim.learning_rate, "above 0")
    need(optim.warmup >= 0, "optim.warmup", optim.warmup, "at least 0 steps")
    need(0 <= optim.momentum < 1, "optim.momentum", optim.momentum, "at least 0 and below 1")
    need(optim.weight_decay >= 0, "optim.weight_decay", optim.weight_decay, "at least 0")
    need(optim.clip is None or optim.clip > 0, "optim.clip", optim.clip, "above 0 or unset")
    smoothing = optim.label_smoothing
    need(0 <= smoothing < 1, "optim.label_smoothing", smoothing, "at least 0 and below 1")
    ema, error = optim.ema, optim.warmup_error
    need(ema is None or 0 < ema < 1, "optim.ema", ema, "between 0 and 1")
    need(error is None or 0 < error < 1, "optim.warmup_error", error, "between 0 and 1")
    parts, group = optim.accumulate, train.stat_batch
    need(parts >= 1, "optim.accumulate", parts, "at least 1")
    whole = parts >= 1 and data.batch_size % parts == 0
    need(whole, "optim.accumulate", parts, f"a divisor of data.batch_size, {data.batch_size}")
    fits = group is None or (group >= 1 and data.batch_size // parts % group == 0)
    need(fits, "train.stat_batch", group, f"a divisor of {data.batch_size // parts} examples")
    need(train.strategy in STRATEGIES, "train.strategy", train.strategy, " | ".join(STRATEGIES))
    apart = not (train.shard_state and train.strategy == "pmap")
    need(apart, "train.shard_state", True, "False under train.strategy=pmap")
    need(
        train.profile is None or profile_steps(train.profile) is not None,
        "train.profile",
        train.profile,
        "START:STOP, two steps such as 100:110",
    )
    need(train.precision in PRECISIONS, "train.precision", train.precision, " | ".join(PRECISIONS))
    steps, epochs = train.steps, train.epochs
    need(steps is None or steps >= 1, "train.steps", steps, "at least 1")
    need(epochs is None or epochs > 0, "train.epochs", epochs, "above 0")
    need(train.log_every >= 1, "train.log_every", train.log_every, "at least 1")
    for name, every in (
        ("train.steps_per_call", train.steps_per_call),
        ("eval.every", config.eval.every),
        ("checkpoint.every", config.checkpoint.every),
    ):
        need(every is None or every >= 1, name, every, "at least 1 step")
    need(config.checkpoint.keep >= 1, "checkpoint.keep", config.checkpoint.keep, "at least 1")


def profile_steps(text: str | None) -> tuple[int, int] | None:
    """Return the steps of ``START:STOP``, or None if that is not what ``text`` is."""
    start, _, stop = (text or "").partition(":")
    if not (start.isdecimal() and stop.isdecimal() and int(start) < int(stop)):
        return None
    return int(start), int(stop)


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
