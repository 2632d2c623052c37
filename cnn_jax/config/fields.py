"""The fields with their types and defaults, and walking over them."""

from collections.abc import Iterator, Mapping
from typing import Any

from ml_collections import ConfigDict, config_dict

placeholder = config_dict.placeholder

# A ConfigDict. ml_collections declares every field as a union of all types, which a type checker
# can do nothing with.
Config = Any


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
                "validation": 0.1,  # share cut from training, seeded and stratified ...
                # ... unless this split is validated on: the set's own, if unset and it has one
                # beside its test part. No validation at all if the share is 0.
                "validate_on": placeholder(str),
                "only": (),  # names of the classes that are kept, in their new order; all if ()
                "per_class": placeholder(int),  # train on so many of each class; the rest is unused
                "image_size": placeholder(
                    object
                ),  # pixels a side or (rows, columns); others resized
                "crop": placeholder(float),  # share of the side in the centred window that is shown
                "subsample": placeholder(float),  # share of the pixels that is kept ...
                "subsample_as": "smaller",  # ... as smaller images, or with pixels missing ...
                "subsample_in": "all",  # ... in all images, or in those of the test alone
                "shuffle_pixels": placeholder(int),  # by a permutation drawn from this seed
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
                "native": False,  # convolutions by oneDNN, on a CPU (extra native)
                "writers": (),  # beside metrics.jsonl: tensorboard, wandb
                # Steps from one measurement of the gradient flow (flow.jsonl) to the next, each of
                # which costs about a step; none if unset.
                "flow_every": placeholder(int),
                "profile": placeholder(str),  # START:STOP: trace these steps into profile/
            },
            "init": {  # transfer learning; see cnn_jax/transfer/regimes.py
                # A run's folder, PyTorch's weights (.safetensors, .pth), or an exported network;
                # {seed} in it stands for the run's seed.
                "source": placeholder(str),
                "regime": placeholder(str),  # what trains: last | late | all (if unset)
                "train": (),  # or patterns of what trains, such as ("stage4*", "head")
                "freeze": (),  # patterns of what does not train in any case
                "restart": (),  # patterns of what starts anew
                "decay": 1.0,  # of the learning rate from a stage to the one before it
                "unfreeze": (),  # steps at which the next stage joins, from the head down
            },
            "eval": {"every": placeholder(int)},  # steps; an epoch if unset
            # The best is kept beside the latest; two, in case the newest is damaged.
            "checkpoint": {"every": placeholder(int), "keep": 2},  # steps; an epoch if unset
        }
    )


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
