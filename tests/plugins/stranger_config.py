"""A run of nothing but a stranger's objects, on digits."""

from cnn_jax.config import base_config


def get_config():
    config = base_config()
    config.model.name = "small"
    config.data.name = "digits"
    config.data.batch_size = 64
    config.data.augment = {"dim": {"most": 0.1}}
    config.task.name = "focal"
    config.optim.name = "signed"
    config.optim.learning_rate = 0.003
    config.optim.options = {"momentum": 0.8}
    config.train.steps = 30
    config.checkpoint.every = 10
    return config
