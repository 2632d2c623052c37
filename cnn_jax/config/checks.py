"""Values that no run could use."""

from typing import Any

from cnn_jax.config.fields import Config, base_config, ordered
from cnn_jax.data.subsample import MISSING, SMALLER
from cnn_jax.errors import BadInputError

PRECISIONS = ("float32", "bfloat16", "float64")
STRATEGIES = ("jit", "pmap")
REGIMES = ("last", "late", "all")


def check(config: Config) -> None:
    """Raise ``BadInputError`` for the first value that no run could use."""
    _need(config.model.name is not None, "model.name", None, "the name of a model")
    _check_data(config.data)
    _check_optim(config.optim, config.data.batch_size)
    _check_train(config.train, config.data.batch_size // config.optim.accumulate)
    _check_init(config.init)
    for name, every in (
        ("eval.every", config.eval.every),
        ("checkpoint.every", config.checkpoint.every),
    ):
        _need(every is None or every >= 1, name, every, "at least 1 step")
    _need(config.checkpoint.keep >= 1, "checkpoint.keep", config.checkpoint.keep, "at least 1")


def _need(good: bool, field: str, value: Any, right: str) -> None:
    if not good:
        raise BadInputError(f"config field {field!r} is {value!r}; it has to be {right}")


def _check_data(data: Config) -> None:
    _need(data.name is not None, "data.name", None, "the name of a data source")
    _need(data.batch_size >= 1, "data.batch_size", data.batch_size, "at least 1")
    _need(0 <= data.validation < 1, "data.validation", data.validation, "at least 0 and below 1")
    size = data.image_size if isinstance(data.image_size, tuple) else (data.image_size,)
    whole = all(isinstance(n, int) and n >= 1 for n in size) and len(size) <= 2
    right = "pixels or (rows, columns)"
    _need(size == (None,) or whole, "data.image_size", data.image_size, right)
    for name in ("crop", "subsample"):
        value = data[name]
        _need(value is None or 0 < value <= 1, f"data.{name}", value, "above 0 and at most 1")
    reading = data.subsample_as
    _need(reading in (SMALLER, MISSING), "data.subsample_as", reading, f"{SMALLER} or {MISSING}")
    where = data.subsample_in
    _need(where in ("all", "test"), "data.subsample_in", where, "all or test")
    alike = where == "all" or reading == MISSING
    _need(alike, "data.subsample_in", where, f"all where data.subsample_as is {reading}")
    names = all(isinstance(name, str) for name in data.only) and len(set(data.only)) != 1
    _need(names, "data.only", data.only, "names of at least 2 classes")
    per_class, threads = data.per_class, data.threads
    _need(per_class is None or per_class >= 1, "data.per_class", per_class, "at least 1")
    _need(threads is None or threads >= 1, "data.threads", threads, "at least 1")
    _need(data.workers >= 0, "data.workers", data.workers, "at least 0")
    for name in ("mean", "std"):
        numbers = data[name] is None or all(isinstance(x, (int, float)) for x in data[name])
        _need(numbers, f"data.{name}", data[name], "a number a channel, such as (0.5,)")
    _need(min(data.std or (1,)) > 0, "data.std", data.std, "above 0")
    _need(data.on_error in ("raise", "skip"), "data.on_error", data.on_error, "'raise' or 'skip'")


def _check_optim(optim: Config, batch_size: int) -> None:
    _need(optim.learning_rate > 0, "optim.learning_rate", optim.learning_rate, "above 0")
    _need(optim.warmup >= 0, "optim.warmup", optim.warmup, "at least 0 steps")
    _need(0 <= optim.momentum < 1, "optim.momentum", optim.momentum, "at least 0 and below 1")
    _need(optim.weight_decay >= 0, "optim.weight_decay", optim.weight_decay, "at least 0")
    _need(optim.clip is None or optim.clip > 0, "optim.clip", optim.clip, "above 0 or unset")
    smoothing = optim.label_smoothing
    _need(0 <= smoothing < 1, "optim.label_smoothing", smoothing, "at least 0 and below 1")
    for name in ("ema", "warmup_error"):
        value = optim[name]
        _need(value is None or 0 < value < 1, f"optim.{name}", value, "between 0 and 1")
    parts = optim.accumulate
    _need(parts >= 1, "optim.accumulate", parts, "at least 1")
    right = f"a divisor of data.batch_size, {batch_size}"
    _need(batch_size % parts == 0, "optim.accumulate", parts, right)


def _check_train(train: Config, part: int) -> None:
    """Check the section against the examples of a part of the batch."""
    group = train.stat_batch
    fits = group is None or (group >= 1 and part % group == 0)
    _need(fits, "train.stat_batch", group, f"a divisor of {part} examples")
    _need(train.strategy in STRATEGIES, "train.strategy", train.strategy, " | ".join(STRATEGIES))
    apart = not (train.shard_state and train.strategy == "pmap")
    _need(apart, "train.shard_state", True, "False under train.strategy=pmap")
    profile = train.profile
    known = profile is None or profile_steps(profile) is not None
    _need(known, "train.profile", profile, "START:STOP, two steps such as 100:110")
    _need(train.precision in PRECISIONS, "train.precision", train.precision, " | ".join(PRECISIONS))
    single = train.precision != "float64"
    _need(single or not train.native, "train.native", True, "False under train.precision=float64")
    steps, epochs, often = train.steps, train.epochs, train.steps_per_call
    _need(steps is None or steps >= 1, "train.steps", steps, "at least 1")
    _need(epochs is None or epochs > 0, "train.epochs", epochs, "above 0")
    _need(train.log_every >= 1, "train.log_every", train.log_every, "at least 1")
    _need(often is None or often >= 1, "train.steps_per_call", often, "at least 1 step")
    flow = train.flow_every
    _need(flow is None or flow >= 1, "train.flow_every", flow, "at least 1 step")


def _check_init(init: Config) -> None:
    if init.source is None:
        unset = base_config().init
        for name, value in ordered(init).items():
            right = "unset while init.source is: there are no weights to start from"
            _need(value == unset[name], f"init.{name}", value, right)
    _need(init.regime in (None, *REGIMES), "init.regime", init.regime, " | ".join(REGIMES))
    both = init.train and init.regime is not None
    _need(not both, "init.regime", init.regime, "unset where init.train says what trains")
    for name in ("train", "freeze", "restart"):
        words = all(isinstance(pattern, str) for pattern in init[name])
        _need(words, f"init.{name}", init[name], 'patterns such as ("stage4*", "head")')
    _need(0 < init.decay <= 1, "init.decay", init.decay, "above 0 and at most 1")
    steps = init.unfreeze
    whole = all(isinstance(step, int) and step >= 1 for step in steps)
    grows = whole and list(steps) == sorted(set(steps))
    _need(grows, "init.unfreeze", steps, "growing steps from 1 on, such as (100, 200)")


def profile_steps(text: str | None) -> tuple[int, int] | None:
    """Return the steps of ``START:STOP``, or None if that is not what ``text`` is."""
    start, _, stop = (text or "").partition(":")
    if not (start.isdecimal() and stop.isdecimal() and int(start) < int(stop)):
        return None
    return int(start), int(stop)
