"""Augmentation: transforms composed from the config, pure functions of their keys.

Images are float32 ``[H, W, C]`` in 0..255 while they are changed; every transform returns the
shape and dtype it was given.
"""

import functools
import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.data.augment import colour, erase, mix, randaugment, spatial
from cnn_jax.data.augment.arguments import Pixels
from cnn_jax.registry import look_up, table
from cnn_jax.runtime import ranges
from cnn_jax.runtime.errors import BadInputError, first_line

# (key, image, ...) -> image, or what mixes examples: (the batch's key, each example's, images,
# targets, ...) -> (images, targets)
TRANSFORMS: dict[str, Callable[..., Any]] = table(
    "transform",
    {
        "flip": spatial.flip,
        "pad_crop": spatial.pad_crop,
        "random_resized_crop": spatial.random_resized_crop,
        "rotation": spatial.rotation,
        "scale": spatial.scale,
        "translation": spatial.translation,
        "brightness": colour.brightness,
        "contrast": colour.contrast,
        "colour_jitter": colour.colour_jitter,
        "noise": colour.noise,
        "cutout": erase.cutout,
        "random_erasing": erase.random_erasing,
        "randaugment": randaugment.randaugment,
        "mixup": mix.mixup,
        "cutmix": mix.cutmix,
    },
)

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)

# The place of no example: its key is the batch's.
WHOLE_BATCH = 2**32 - 1

# (key, places [N], images [N, H, W, C], labels [N]) -> (images float32, targets or None)
Augmentation = Callable[
    [jax.Array, jax.Array, jax.Array, jax.Array], tuple[jax.Array, jax.Array | None]
]


def mixes(name: str) -> bool:
    """Return whether a transform mixes the examples of a batch."""
    kinds = [each.kind for each in inspect.signature(TRANSFORMS[name]).parameters.values()]
    return sum(kind in _POSITIONAL for kind in kinds) == 4


def pipeline(
    steps: Mapping[str, Mapping[str, Any]],
    shape: tuple[int, ...],
    classes: int,
    *,
    done: Collection[str] = (),
    axis: str | None = None,
) -> Augmentation:
    """Return what applies the named transforms in order to a batch.

    The result takes a step's key, the examples' places in the global batch, images
    ``[N, H, W, C]`` and labels int32 ``[N]``; it returns float32 images and, where examples are
    mixed, targets ``[N, classes]``, else None. An example's own key is the step's, folded with
    its place; each transform folds it with its place in the order.

    Args:
        steps: name of the transform -> its arguments.
        shape: of the images, ``[H, W, C]``.
        classes: how many.
        done: transforms that were applied before; they keep their places in the order.
        axis: of a pmap over shares of the batch, consecutive ones; None if it is given whole.

    Raises:
        BadInputError: an unknown transform or argument, or one that the images cannot take.
    """
    steps = checked(steps, shape)
    for name, arguments in steps.items():
        _trace(name, arguments, shape, classes)

    def apply(
        key: jax.Array, places: jax.Array, images: jax.Array, labels: jax.Array
    ) -> tuple[jax.Array, jax.Array | None]:
        images = images.astype(jnp.float32)
        own = jax.vmap(jax.random.fold_in, (None, 0))(key, places)
        batch = jax.random.fold_in(key, WHOLE_BATCH)
        mixing = any(mixes(name) for name in steps)
        targets = None
        if mixing:
            several = labels.ndim > 1
            targets = labels.astype(jnp.float32) if several else jax.nn.one_hot(labels, classes)
        for place, (name, arguments) in enumerate(steps.items()):
            if name in done:
                continue
            keys = jax.vmap(jax.random.fold_in, (0, None))(own, place)
            if mixes(name):
                mixed = functools.partial(TRANSFORMS[name], **arguments)
                if axis is not None:
                    mixed = functools.partial(_over_shares, mixed, axis)
                images, targets = mixed(jax.random.fold_in(batch, place), keys, images, targets)
            else:
                images = jax.vmap(functools.partial(TRANSFORMS[name], **arguments))(keys, images)
        return images, targets

    return apply


def _over_shares(
    mixed: Callable[..., mix.Mixed], axis: str, key: jax.Array, *shares: jax.Array | None
) -> mix.Mixed:
    """Mix the whole batch on every device, and keep this device's share of the result."""
    count = len(jax.tree.leaves(shares)[0])
    whole = jax.lax.all_gather(shares, axis, tiled=True)
    start = jax.lax.axis_index(axis) * count
    return jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, start, count), mixed(key, *whole))


def checked(
    steps: Mapping[str, Any], shape: Sequence[int] | None = None
) -> dict[str, dict[str, Any]]:
    """Return the transforms and their arguments, NumPy's numbers as Python's.

    Args:
        steps: name of the transform -> its arguments.
        shape: of the images, ``[H, W, C]``, where it is known: some arguments depend on it.

    Raises:
        BadInputError: an unknown transform or argument, or one outside its range.
    """
    made = {}
    for name, arguments in steps.items():
        transform = look_up(TRANSFORMS, name, "data.augment: unknown transform")
        if not isinstance(arguments, Mapping):
            raise BadInputError(
                f"data.augment.{name} is {arguments!r}; it has to be a dict of arguments, such "
                "as {}"
            )
        defaults = {
            field.name: field.default
            for field in inspect.signature(transform).parameters.values()
            if field.kind is field.KEYWORD_ONLY
        }
        made[name] = {argument: _plain(value) for argument, value in arguments.items()}
        for argument in made[name]:
            if argument not in defaults:
                raise BadInputError(
                    f"data.augment.{name} has no argument {argument!r}; "
                    f"it has {', '.join(defaults) or 'none'}"
                )
        # A callable object, such as a partial function, declares none.
        declared = ranges.declared(transform) if inspect.isfunction(transform) else {}
        allowed = {
            argument: (one.on(shape), optional)
            if isinstance(one, Pixels) and shape is not None
            else (one, optional)
            for argument, (one, optional) in declared.items()
        }
        ranges.check_all(f"data.augment.{name}", defaults | made[name], allowed)
    return made


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return tuple(value.tolist())
    if isinstance(value, (tuple, list)):
        return tuple(_plain(item) for item in value)
    return value.item() if isinstance(value, np.generic) else value


def _trace(name: str, arguments: Mapping[str, Any], shape: tuple[int, ...], classes: int) -> None:
    """Raise ``BadInputError`` for a transform that cannot work on such images."""
    key = jax.random.key(0)
    image = jax.ShapeDtypeStruct(shape, jnp.float32)
    batch = jax.ShapeDtypeStruct((2, *shape), jnp.float32)
    targets = jax.ShapeDtypeStruct((2, classes), jnp.float32)
    inputs = (key, jax.random.split(key), batch, targets) if mixes(name) else (key, image)
    try:
        # Where there are doubles, jax.random draws them, which promotes images that stay float32
        # elsewhere.
        with jax.enable_x64(False):
            made = jax.eval_shape(functools.partial(TRANSFORMS[name], **arguments), *inputs)
    except Exception as error:  # whatever a function from outside raises
        line = first_line(error)
        raise BadInputError(f"data.augment.{name} cannot take {dict(arguments)}: {line}") from None
    wanted = (batch, targets) if mixes(name) else image
    returned, taken = (jax.tree.map(_kind, tree) for tree in (made, wanted))
    if returned != taken:
        raise BadInputError(
            f"data.augment.{name} returns {returned} for {taken}; a transform keeps shape and dtype"
        )


def _kind(x: Any) -> str:
    """Return an array's dtype and shape, such as ``float32[8,8,3]``."""
    return f"{x.dtype}{list(x.shape)}".replace(" ", "")
