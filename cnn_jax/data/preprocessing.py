"""What becomes of images on the device, on their way into the network: pure functions."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from cnn_jax.data import augment
from cnn_jax.data.parts import Part, Stream
from cnn_jax.runtime import random_keys
from cnn_jax.runtime.errors import BadInputError

RANDOM_CROP = "random_resized_crop"  # done while reading, where images are streamed


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """Augmentation, in training, and normalisation.

    Attributes:
        image_shape: (height, width, channels).
        classes: how many; mixed images have targets of so many numbers.
        mean: by channel, of pixels in 0..1; None leaves images as they are.
        std: likewise.
        dtype: that the network takes.
        augment: transform -> its arguments, in order.
        window: arguments of the random crop that is done while reading; None without one.
    """

    image_shape: tuple[int, ...]
    classes: int
    mean: Sequence[float] | None
    std: Sequence[float] | None
    dtype: Any = jnp.float32
    augment: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    window: Mapping[str, Any] | None = None

    def scaled(self, images: jax.Array) -> jax.Array:
        """Return images as the network takes them: pixels in 0..255, any numbers without mean."""
        if self.mean is None or self.std is None:
            return images.astype(self.dtype)
        return scale(images, self.mean, self.std, self.dtype)

    def training_batch(self, axis: str | None = None) -> Callable[..., dict[str, jax.Array]]:
        """Return (step, places, images, labels, seed) -> batch, augmented and scaled.

        ``images`` are ``[N, H, W, C]`` as they are stored, ``labels`` int32 ``[N]``, ``places``
        their places in the global batch, uint32 ``[N]``, ``seed`` the run's. The batch has
        ``image``, ``label`` and, where examples are mixed, ``target`` ``[N, classes]``. ``axis`` is
        that of a pmap over shares of the batch.

        Raises:
            BadInputError: a transform that does not exist or that the images cannot take.
        """
        done = () if self.window is None else (RANDOM_CROP,)
        change = augment.pipeline(
            self.augment, self.image_shape, self.classes, done=done, axis=axis
        )

        def batch(
            step: jax.Array,
            places: jax.Array,
            images: jax.Array,
            labels: jax.Array,
            seed: int | jax.Array,
        ) -> dict[str, jax.Array]:
            made = {"label": labels}
            if self.augment:
                stream = random_keys.stream(seed, random_keys.Purpose.AUGMENT)
                key = jax.random.fold_in(stream, step)
                images, targets = change(key, places, images, labels)
                if targets is not None:
                    made["target"] = targets
            return made | {"image": self.scaled(images)}

        return batch


def window(steps: Mapping[str, Mapping[str, Any]], part: Part | Stream) -> Mapping[str, Any] | None:
    """Return the arguments of the random crop that is done while reading; None without one."""
    if not isinstance(part, Stream) or RANDOM_CROP not in steps:
        return None
    if next(iter(steps)) != RANDOM_CROP:
        raise BadInputError(
            f"data.augment: {RANDOM_CROP} has to come first where images are streamed"
        )
    return steps[RANDOM_CROP]


def scale(images: jax.Array, mean: Sequence[float], std: Sequence[float], dtype) -> jax.Array:
    """Map pixels in 0..255 to ``dtype``, normalised by channel constants given in 0..1."""
    kept = jnp.promote_types(dtype, jnp.float32)
    centred = images.astype(kept) / 255 - jnp.asarray(mean, kept)
    return (centred / jnp.asarray(std, kept)).astype(dtype)
