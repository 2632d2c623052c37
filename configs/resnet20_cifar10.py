"""ResNet-20 on CIFAR-10 by the recipe of its paper.

Paper: He et al. 2015, section 4.2.
Data: CIFAR-10.
Published: 8.75 % error (ResNet-20), 6.43 % (ResNet-110).
Result: not run to the end; 64,000 steps are for an accelerator (hours on 2 CPU cores).

"Deep residual learning for image recognition": SGD with momentum 0.9 and batches of 128, weight
decay 1e-4, rate 0.1 divided by ten after 32,000 and 48,000 of 64,000 steps, windows of 32x32 from
images padded by 4, flips. ResNet-110 (`resnet20_cifar10:110`) starts at a tenth of the rate until
its training error is below 80 %, which the paper says takes about 400 steps. The paper trains on
45,000 images while it chooses the schedule and on all 50,000 for its table: that is
`--config.data.validation=0`.

    cnn-jax train --config=resnet20_cifar10 --workdir=runs/resnet20

downloads and prepares CIFAR-10 the first time. A folder train/CLASS/*, test/CLASS/* of its images
serves as well: `--config.data.name=folder --config.data.dir=CIFAR`.

Differences: channels are normalised by mean and deviation instead of subtracting a mean image;
weight decay is on kernels only; the last step of every run is measured, not the best of five.
"""

from cnn_jax.config import Config, base_config


def get_config(arg: str | None = None) -> Config:
    """Return the config; ``arg`` is the depth: 20 (default), 32, 44, 56 or 110."""
    config = base_config()
    config.model.name = f"resnet{arg or 20}"
    config.data.name = "cifar10"
    config.data.classes = 10
    config.data.mean = (0.4914, 0.4822, 0.4465)
    config.data.std = (0.2470, 0.2435, 0.2616)
    config.data.batch_size = 128
    config.data.augment = {"pad_crop": {"padding": 4}, "flip": {}}
    config.optim.learning_rate = 0.1
    config.optim.schedule = "step"
    config.optim.milestones = (32_000, 48_000)
    config.optim.weight_decay = 1e-4
    if arg == "110":
        config.optim.warmup_error = 0.8
    config.train.steps = 64_000
    config.train.log_every = 100
    return config
