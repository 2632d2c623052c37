"""Values that no run could use: each field in its range, and what ties several together."""

from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from cnn_jax import models
from cnn_jax.config.fields import Config, base_config, declared, ordered
from cnn_jax.config.filling import check_names, unknown_field
from cnn_jax.config.overrides import LENGTHS
from cnn_jax.data import augment
from cnn_jax.data.subsample import MISSING
from cnn_jax.runtime import ranges
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.tasks import measures
from cnn_jax.tasks import table as tasks
from cnn_jax.train import optim, schedules

REQUIRED = ("model.name", "data.name")


def check(config: Config) -> None:
    """Raise ``BadInputError`` for the first value that no run could use."""
    for name, field in declared():
        if name in REQUIRED:
            _need(_get(config, name) is not None, name, None, str(field.range))
    check_fields(config)
    augment.checked(_plain(config.data.augment))
    _check_data(config.data)
    _check_optim(config.optim, config.data.batch_size)
    _check_train(config.train, config.data.batch_size // config.optim.accumulate)
    _check_schedule(config.optim, config.train.steps)
    _check_init(config.init)
    measures.named(config.task.get("measures") or ())


def check_fields(config: Config) -> None:
    """Raise ``BadInputError`` for a field that does not exist, or a value outside its range."""
    check_names(config)
    for name, field in declared():
        if field.range is not None:
            line = f"config field {name!r}"
            ranges.check(line, _get(config, name), field.range, optional=field.optional)
    if config.model.name is None:
        return
    _check_own(config.model, "model", models.declared(config.model.name))
    if config.task.name is not None:
        _check_own(config.task, "task", tasks.declared(config.task.name))


def _check_own(section: Config, where: str, known: Mapping[str, Any]) -> None:
    """Check the fields that the model, or the task, declares."""
    for name, value in ordered(section).items():
        if name == "name":
            continue
        field = f"{where}.{name}"
        if name not in known:
            raise BadInputError(unknown_field(field, [f"{where}.{each}" for each in known]))
        allowed, optional = known[name]
        if allowed is not None:
            ranges.check(f"config field {field!r}", value, allowed, optional=optional)


def _get(config: Config, name: str) -> Any:
    section, _, last = name.rpartition(".")
    return config[section][last] if section else config[last]


def _plain(section: Config) -> dict[str, Any]:
    return {
        name: _plain(value) if isinstance(value, ConfigDict) else value
        for name, value in ordered(section).items()
    }


def _need(good: bool, field: str, value: Any, right: str) -> None:
    if not good:
        raise BadInputError(f"config field {field!r} is {value!r}; it has to be {right}")


def _check_data(data: Config) -> None:
    where, reading = data.subsample_in, data.subsample_as
    alike = where == "all" or reading == MISSING
    _need(alike, "data.subsample_in", where, f"all where data.subsample_as is {reading}")
    once = len(set(data.only)) == len(data.only)
    _need(once, "data.only", data.only, "names of at least 2 classes, each once")


def _check_optim(section: Config, batch_size: int) -> None:
    parts = section.accumulate
    right = f"a divisor of data.batch_size, {batch_size}"
    _need(batch_size % parts == 0, "optim.accumulate", parts, right)


def _check_schedule(section: Config, steps: int | None) -> None:
    """Check names and what they ask of other fields, by making the schedule and the rule."""
    schedule = schedules.make_schedule(
        section.schedule,
        learning_rate=section.learning_rate,
        total_steps=steps or schedules.MOST_STEPS,
        warmup=section.warmup,
        milestones=section.milestones,
        factor=section.factor,
    )
    optim.make_optimizer(
        section.name,
        schedule,
        momentum=section.momentum,
        weight_decay=section.weight_decay,
        options=ordered(section.options),
    )


def _check_train(train: Config, part: int) -> None:
    """Check the section against the examples of a part of the batch."""
    given = [name for name in LENGTHS if train[name.removeprefix("train.")] is not None]
    if len(given) > 1:
        both = f"config fields {' and '.join(map(repr, given))} both say how long the run is"
        raise BadInputError(f"{both}; set one of them")
    group = train.stat_batch
    fits = group is None or part % group == 0
    _need(fits, "train.stat_batch", group, f"a divisor of {part} examples")
    apart = not (train.shard_state and train.strategy == "pmap")
    _need(apart, "train.shard_state", True, "False under train.strategy=pmap")
    profile = train.profile
    known = profile is None or profile_steps(profile) is not None
    _need(known, "train.profile", profile, "START:STOP, two steps such as 100:110")
    single = train.precision != "float64"
    _need(single or not train.native, "train.native", True, "False under train.precision=float64")


def _check_init(init: Config) -> None:
    if init.source is None:
        unset = base_config().init
        for name, value in ordered(init).items():
            if value != unset[name]:
                raise BadInputError(
                    f"config field 'init.{name}' is {value!r} and counts only with init.source, "
                    "which is unset; set that, or leave this out"
                )
    both = init.train and init.regime is not None
    _need(not both, "init.regime", init.regime, "unset where init.train says what trains")


def profile_steps(text: str | None) -> tuple[int, int] | None:
    """Return the steps of ``START:STOP``, or None if that is not what ``text`` is."""
    start, _, stop = (text or "").partition(":")
    if not (start.isdecimal() and stop.isdecimal() and int(start) < int(stop)):
        return None
    return int(start), int(stop)
