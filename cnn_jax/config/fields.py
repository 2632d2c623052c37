"""The fields, one declaration each: its default, the values that it takes, what it means."""

from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict

from cnn_jax.config.declarations import (
    COUNT,
    FLAG,
    NAME,
    PATTERNS,
    RULE,
    SEED,
    SHARE,
    SIDE,
    STEPS,
    Field,
    names,
    placeholder,
)
from cnn_jax.config.section import Section
from cnn_jax.data.subsample import MISSING, SMALLER
from cnn_jax.runtime.ranges import (
    Each,
    Said,
    Text,
    above,
    at_least,
    below,
    either,
    inside,
    one_of,
    whole,
)

# A ConfigDict. ml_collections declares every field as a union of all types, which a type checker
# can do nothing with.
Config = Any


FIELDS: dict[str, Any] = {
    "seed": Field(0, SEED, "of initial weights, order, augmentation and the validation cut"),
    "model": {"name": Field(str, Text("the name of a model"), "and that constructor's fields")},
    "data": {
        "name": Field(
            str,
            Text("the name of a data source"),
            "a source: digits, folder, mnist, cifar10, synthetic ...",
        ),
        "dir": Field(str, NAME, "folder: the images; else where prepared sets are kept"),
        "train": Field(
            "train", NAME, "what is trained on: a split or a slice, such as train[:90%]"
        ),
        "test": Field(str, NAME, "likewise; test, or else validation, if unset"),
        "validation": Field(
            0.1, below(1, low=0), "share cut from training, seeded and stratified ..."
        ),
        "validate_on": Field(
            str,
            NAME,
            "... unless this split is validated on: the set's own, if unset and it has one beside "
            "its test part. No validation at all if the share is 0",
        ),
        "only": Field(
            (),
            Said(either(Each(NAME, count=0), Each(NAME, least=2)), "names of at least 2 classes"),
            "names of the classes that are kept, in their new order; all if ()",
        ),
        "per_class": Field(int, COUNT, "train on so many of each class; the rest is unused"),
        "image_size": Field(
            object,
            Said(either(SIDE, Each(SIDE, count=2)), "pixels or (rows, columns), at most 65,535"),
            "pixels a side or (rows, columns); others resized",
        ),
        "crop": Field(float, SHARE, "share of the side in the centred window that is shown"),
        "subsample": Field(float, SHARE, "share of the pixels that is kept ..."),
        "subsample_as": Field(
            SMALLER,
            Said(one_of(SMALLER, MISSING), f"{SMALLER} or {MISSING}"),
            "... as smaller images, or with pixels missing ...",
        ),
        "subsample_in": Field(
            "all",
            Said(one_of("all", "test"), "all or test"),
            "... in all images, or in those of the test alone",
        ),
        "shuffle_pixels": Field(int, SEED, "by a permutation drawn from this seed"),
        "mean": Field(
            tuple,
            Said(Each(at_least(-1e6, high=1e6), least=1), "a number a channel, such as (0.5,)"),
            "a channel, of pixels in 0..1; from training if unset",
        ),
        "std": Field(
            tuple,
            Said(Each(above(0, high=1e6), least=1), "above 0, a number a channel, such as (0.5,)"),
            "likewise",
        ),
        "classes": Field(
            int, Said(whole(1, high=10**6), "at least 1"), "as the data say, if unset"
        ),
        "batch_size": Field(128, COUNT, "examples a step over all devices"),
        "augment": {},  # transform -> its arguments, in order; they declare their own ranges
        "stream": Field(bool, FLAG, "read from disk at every step; as the size says, if unset"),
        "threads": Field(
            int,
            Said(whole(1, high=1024), "at least 1, and at most 1024"),
            "that read ahead; the cores if unset",
        ),
        "workers": Field(
            0,
            Said(whole(0, high=256), "at least 0, and at most 256"),
            "processes that read ahead instead of threads of this one",
        ),
        "on_error": Field("raise", one_of("raise", "skip"), "what a broken image file does"),
    },
    "optim": {
        "name": Field(
            "sgd",
            NAME,
            "sgd | nesterov | adam | adamw | rmsprop | lars | lamb | muon | sam, any other factory "
            "of optax, or a registered one",
        ),
        "learning_rate": Field(0.1, RULE["learning_rate"], "the highest of the schedule"),
        "schedule": Field(
            "constant", NAME, "constant | cosine | step | onecycle, or a registered one"
        ),
        "milestones": Field(
            (),
            Said(RULE["milestones"], "growing steps from 1 on, such as (100, 200)"),
            "step: the steps at which the rate is multiplied ...",
        ),
        "factor": Field(0.1, RULE["factor"], "... by this"),
        "warmup": Field(
            0, Said(RULE["warmup"], "at least 0 steps"), "steps of linear growth from zero"
        ),
        "warmup_error": Field(
            float,
            Said(RULE["warmup_error"], "between 0 and 1"),
            "a tenth of the rate until the training error falls below this share",
        ),
        "momentum": Field(0.9, RULE["momentum"], "sgd, nesterov, sam, rmsprop, lars, muon"),
        "weight_decay": Field(0.0, RULE["weight_decay"], "on kernels only"),
        "clip": Field(float, RULE["clip"], "global norm of the gradient"),
        "label_smoothing": Field(
            0.0, below(1, low=0), "share of the target that all classes divide among themselves"
        ),
        "ema": Field(
            float,
            Said(inside(0, 1), "between 0 and 1"),
            "decay of the running mean of parameters and BatchNorm's statistics; none if unset",
        ),
        "ema_batches": Field(
            32,
            Said(whole(0, high=2**31 - 1), "at least 0 batches"),
            "training batches, not augmented, at most an epoch, over which the averaged network's "
            "statistics are estimated anew after the last step; 0 leaves the averaged ones",
        ),
        "accumulate": Field(
            1,
            COUNT,
            "parts that a batch is cut into, one after the other, to save memory; BatchNorm "
            "normalises each part by itself",
        ),
        "options": {},  # further arguments of the optimizer's factory
    },
    "train": {
        "steps": Field(int, STEPS, "optimizer updates; or epochs"),
        "epochs": Field(float, above(0), "passes over the training examples; or steps"),
        "log_every": Field(50, STEPS, "steps"),
        "precision": Field(
            "float32", names("float32", "bfloat16", "float64"), "that networks compute in"
        ),
        "strategy": Field("jit", names("jit", "pmap"), "the same step, compiled in another way"),
        "shard_state": Field(
            False, FLAG, "jit: cut parameters and optimizer state over the devices"
        ),
        "steps_per_call": Field(int, STEPS, "steps a dispatch; chosen by platform if unset"),
        "stat_batch": Field(int, COUNT, "examples that BatchNorm normalises together"),
        "deterministic": Field(False, FLAG, "bit-identical repetition on GPUs too, at some speed"),
        "native": Field(False, FLAG, "convolutions by oneDNN, on a CPU (extra native)"),
        "writers": Field(
            (),
            Said(Each(NAME), "names of writers, such as ('tensorboard',)"),
            "beside metrics.jsonl: tensorboard, wandb",
        ),
        "flow_every": Field(
            int,
            STEPS,
            "steps from one measurement of the gradient flow (flow.jsonl) to the next, each of "
            "which costs about a step; none if unset",
        ),
        "profile": Field(
            str,
            Text("START:STOP, two steps such as 100:110"),
            "START:STOP: trace these steps into profile/",
        ),
    },
    "init": {  # transfer learning; see cnn_jax/transfer/regimes.py
        "source": Field(
            str,
            NAME,
            "a run's folder, PyTorch's weights (.safetensors, .pth), or an exported network; "
            "{seed} in it stands for the run's seed",
        ),
        "regime": Field(str, names("last", "late", "all"), "what trains; all if unset"),
        "train": Field((), PATTERNS, 'or patterns of what trains, such as ("stage4*", "head")'),
        "freeze": Field((), PATTERNS, "patterns of what does not train in any case"),
        "restart": Field((), PATTERNS, "patterns of what starts anew"),
        "decay": Field(1.0, SHARE, "of the learning rate from a stage to the one before it"),
        "unfreeze": Field(
            (),
            Said(Each(STEPS, rising=True), "growing steps from 1 on, such as (100, 200)"),
            "steps at which the next stage joins, from the head down",
        ),
    },
    "task": {
        "name": Field(
            str,
            Text("the name of a task"),
            "what is learned, and that task's fields: classification (if unset), multilabel, or a "
            "registered one",
        )
    },
    "eval": {"every": Field(int, STEPS, "steps; an epoch if unset")},
    "checkpoint": {
        "every": Field(int, STEPS, "steps; an epoch if unset"),
        "keep": Field(
            2, COUNT, "of the newest; the best is kept beside them. Two, in case one is damaged"
        ),
    },
}


def declared(fields: Mapping[str, Any] = FIELDS, prefix: str = "") -> Iterator[tuple[str, Field]]:
    """Yield (dotted name, declaration) of every field."""
    for name, each in fields.items():
        if isinstance(each, Field):
            yield prefix + name, each
        else:
            yield from declared(each, f"{prefix}{name}.")


def base_config() -> Config:
    """Return every field with its default; a field without one is a typed placeholder."""
    return _section(FIELDS)


def _section(fields: Mapping[str, Any]) -> Section:
    made = Section()
    for name, each in fields.items():
        made[name] = each.value() if isinstance(each, Field) else _section(each)
    return made


def ordered(section: Config) -> dict[str, Any]:
    """Return a section's fields in the order they were written, which ``items()`` sorts away."""
    # ml_collections keeps the order and offers it only for dicts built with sort_keys=False.
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
                if isinstance(value, float) and type(section[name]) is int:
                    with section.ignore_type():  # as the field's own type would have made of it
                        section[name] = float(section[name])
            elif value is None:
                section[name] = placeholder(object)
            elif isinstance(value, type):
                section[name] = placeholder(value)
            elif isinstance(value, (bool, int, float, str, tuple)):
                section[name] = value
