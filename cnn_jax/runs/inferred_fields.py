"""Fields that the data decide, where the config leaves them unset."""

from cnn_jax.config import Config
from cnn_jax.data.prepare import builders
from cnn_jax.data.constants import Constants
from cnn_jax.data.parts import Part, Source, Stream
from cnn_jax.runtime.errors import BadInputError


def settle(config: Config, train: Part | Stream, source: Source) -> None:
    """Fill in what the data decide and check what the config claims about them.

    Raises ``BadInputError`` where the two do not agree.
    """
    section, classes = config.data, len(source.classes)
    channels = train.image_shape[2]
    if section.image_size is None:
        # What images are resized to, not what is left of it after subsampling.
        height, width = source.size
        section.image_size = height if height == width else (height, width)
    section.stream = isinstance(train, Stream)
    if section.classes is None:
        section.classes = classes
    elif section.classes != classes:
        raise BadInputError(
            f"data.classes is {section.classes}; {section.name!r} has {classes} classes"
        )
    if section.mean is None or section.std is None:
        mean, std = _constants(source, train)
        section.mean = mean if section.mean is None else section.mean
        section.std = std if section.std is None else section.std
    for name in ("mean", "std"):
        if len(section[name]) != channels:
            raise BadInputError(
                f"data.{name} has {len(section[name])} numbers; images have {channels} channels"
            )


def _constants(source: Source, train: Part | Stream) -> Constants:
    """Return mean and standard deviation by channel: known, stored with the set, or computed."""
    if source.mean is not None and source.std is not None:
        return source.mean, source.std
    if isinstance(train, Stream):
        raise BadInputError(
            "data.mean: nobody computed this set's when it was prepared; set data.mean and "
            "data.std, such as ImageNet's (0.485, 0.456, 0.406) and (0.229, 0.224, 0.225)"
        )
    mean, std = builders.moments(builders.histogram(train.images))
    return tuple(mean.tolist()), tuple(std.tolist())
