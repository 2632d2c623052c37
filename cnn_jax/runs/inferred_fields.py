"""Fields that the data decide, where the config leaves them unset."""

from cnn_jax.config import Config
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.parts import Stream
from cnn_jax.data.sources import coerce
from cnn_jax.runtime.errors import BadInputError


class ClassesDifferError(BadInputError):
    """The data have another number of classes than the config says."""


def settle(config: Config, data: Dataset) -> None:
    """Fill in what the data decide and check what the config claims about them.

    Raises ``BadInputError`` where the two do not agree.
    """
    section, classes = config.data, len(data.classes)
    channels = data.train.image_shape[2]
    if section.image_size is None:
        # What images are resized to, not what is left of it after subsampling.
        height, width = data.size
        section.image_size = height if height == width else (height, width)
    section.stream = isinstance(data.train, Stream)
    if section.classes is None:
        section.classes = classes
    elif section.classes != classes:
        raise ClassesDifferError(
            f"data.classes is {section.classes}; {section.name!r} has {classes} classes"
        )
    if section.mean is None or section.std is None:
        mean, std = coerce.constants(data)
        section.mean = mean if section.mean is None else section.mean
        section.std = std if section.std is None else section.std
    for name in ("mean", "std"):
        if len(section[name]) != channels:
            raise BadInputError(
                f"data.{name} has {len(section[name])} numbers; images have {channels} channels"
            )
