"""A trained network fine-tuned on CIFAR-10: transfer learning in one field.

Paper: Howard & Ruder 2018, section 3.2 (rates by depth).
Data: CIFAR-10.
Published: none.
Result: not run to the end at this size; see `experiments/transfer_by_data_size.py`.

Lecture 002's three regimes, by how much data there is: `last` trains the classifier alone, `late`
the later half of the stages, `all` everything, here with a rate that falls by a factor from each
stage to the one before it (Howard & Ruder 2018, section 3.2). The source is a run's folder,
PyTorch's weights or an exported network of a ResNet-20; its head is replaced when it has other
classes.

    cnn-jax train --config=finetune_cifar10:last --config.init.source=runs/resnet20 \
        --workdir=runs/tuned

What was taken, what starts anew and what trains is printed first and kept in init.json. Images
have to be normalised as the source's were: set `data.mean` and `data.std` where those differ (the
run says so).
"""

from cnn_jax.config import Config, base_config
from cnn_jax.runtime.errors import BadInputError

RATES = {"last": 0.05, "late": 0.02, "all": 0.01}


def get_config(arg: str | None = None) -> Config:
    """Return the config; ``arg`` is the regime: last (default), late or all."""
    regime = arg or "last"
    if regime not in RATES:
        raise BadInputError(f"the regime is {', '.join(RATES)}, not {regime!r}")
    config = base_config()
    config.model.name = "resnet20"
    config.init.source = "runs/resnet20"
    config.init.regime = regime
    if regime == "all":
        config.init.decay = 0.8
    config.data.name = "cifar10"
    config.data.classes = 10
    config.data.mean = (0.4914, 0.4822, 0.4465)
    config.data.std = (0.2470, 0.2435, 0.2616)
    config.data.batch_size = 128
    config.data.augment = {"pad_crop": {"padding": 4}, "flip": {}}
    config.optim.learning_rate = RATES[regime]
    config.optim.schedule = "cosine"
    config.optim.weight_decay = 1e-4
    config.train.epochs = 10
    config.train.log_every = 100
    return config
