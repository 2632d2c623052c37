"""LeNet-5 on scikit-learn's digits: the demonstration.

Paper: LeCun et al. 1998, section II.B.
Data: scikit-learn's digits, 8x8.
Published: none on these data.
Result: 99.44 % of 359 test images (seed 0), in less than a minute on 2 CPU cores.

    make demo

The network is that of "Gradient-based learning applied to document recognition"; data, augmentation
and schedule are this project's. The 8x8 images are enlarged to the 32x32 that the network was made
for; label smoothing and shifts keep it from learning 1,294 images by heart.
"""

from cnn_jax.config import Config, base_config


def get_config(arg: str | None = None) -> Config:
    """Return the config; it takes no argument."""
    del arg
    config = base_config()
    config.model.name = "lenet5"
    config.data.name = "digits"
    config.data.image_size = 32
    config.data.classes = 10
    config.data.mean = (0.305,)
    config.data.std = (0.339,)
    config.data.batch_size = 64
    config.data.augment = {"pad_crop": {"padding": 3}}
    config.optim.learning_rate = 0.02
    config.optim.schedule = "cosine"
    config.optim.warmup = 50
    config.optim.label_smoothing = 0.1
    config.optim.weight_decay = 5e-4
    config.train.epochs = 60
    config.train.log_every = 50
    config.eval.every = 100
    config.checkpoint.every = 200
    return config
