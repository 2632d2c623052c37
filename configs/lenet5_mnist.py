"""LeNet-5 on MNIST, from a folder of images.

Paper: LeCun et al. 1998, section II.B.
Data: MNIST, a folder of images.
Published: 0.95 % error; 0.8 % with distortions.
Result: 0.63 % error (99.37 % of 10,000 test images, seed 0), in 70 s on 2 CPU cores.

    cnn-jax train --config=lenet5_mnist --config.data.dir=MNIST --workdir=runs/mnist

where MNIST holds train/CLASS/* and test/CLASS/*, which are converted first (20 s). The paper,
"Gradient-based learning applied to document recognition", has sparse C3, trainable subsampling and
an RBF output; here ReLU, max-pooling and a linear head, shifts of two pixels, ten epochs.
"""

from cnn_jax.config import Config, base_config


def get_config(arg: str | None = None) -> Config:
    """Return the config; it takes no argument."""
    del arg
    config = base_config()
    config.model.name = "lenet5"
    config.data.name = "folder"
    config.data.image_size = 32
    config.data.classes = 10
    config.data.mean = (0.1307,)
    config.data.std = (0.3081,)
    config.data.batch_size = 128
    config.data.augment = {"pad_crop": {"padding": 2}}
    config.optim.learning_rate = 0.05
    config.optim.schedule = "cosine"
    config.optim.warmup = 200
    config.optim.weight_decay = 5e-4
    config.train.epochs = 10
    config.train.log_every = 100
    return config
