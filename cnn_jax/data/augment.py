"""Augmentation: pure functions of (key, image), composed from the config, run on the device.

Images are float32 ``[H, W, C]`` in 0..255; every transform returns the shape it was given.
"""

import difflib
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from cnn_jax.errors import BadInputError

Transform = Callable[..., jax.Array]


def flip(key: jax.Array, image: jax.Array, *, probability: float = 0.5) -> jax.Array:
    """Mirror the image left to right with the given probability."""
    return jnp.where(jax.random.bernoulli(key, probability), image[:, ::-1], image)


def pad_crop(key: jax.Array, image: jax.Array, *, padding: int = 4) -> jax.Array:
    """Pad by ``padding`` black pixels and cut a window of the old size at a random place.

    The CIFAR augmentation of He et al. 2015, section 4.2.
    """
    sides = ((padding, padding), (padding, padding), (0, 0))
    row, column = jax.random.randint(key, (2,), 0, 2 * padding + 1)
    return jax.lax.dynamic_slice(jnp.pad(image, sides), (row, column, 0), image.shape)


TRANSFORMS: dict[str, Transform] = {"flip": flip, "pad_crop": pad_crop}


def pipeline(
    steps: Mapping[str, Mapping[str, Any]], shape: tuple[int, ...]
) -> Callable[[jax.Array, jax.Array], jax.Array]:
    """Return ``(key, image) -> image`` that applies the named transforms in order.

    Each transform draws from a key of its own, folded with its place in the order. ``shape`` is
    the images' ``[H, W, C]``.

    Raises:
        BadInputError: an unknown transform or argument, or one that the images cannot take.
    """
    key, image = jax.random.key(0), jax.ShapeDtypeStruct(shape, jnp.float32)
    for name, arguments in steps.items():
        if name not in TRANSFORMS:
            near = difflib.get_close_matches(name, TRANSFORMS, n=1) or sorted(TRANSFORMS)
            raise BadInputError(
                f"data.augment: unknown transform {name!r}; did you mean {', '.join(near)}?"
            )
        known = list(inspect.signature(TRANSFORMS[name]).parameters)[2:]
        for argument in arguments:
            if argument not in known:
                raise BadInputError(
                    f"data.augment.{name} has no argument {argument!r}; it has {', '.join(known)}"
                )
        try:
            jax.eval_shape(functools.partial(TRANSFORMS[name], **arguments), key, image)
        except (TypeError, ValueError) as error:
            line = str(error).splitlines()[0]
            raise BadInputError(
                f"data.augment.{name} cannot take {dict(arguments)}: {line}"
            ) from None

    def apply(key: jax.Array, image: jax.Array) -> jax.Array:
        for place, (name, arguments) in enumerate(steps.items()):
            image = TRANSFORMS[name](jax.random.fold_in(key, place), image, **arguments)
        return image

    return apply
