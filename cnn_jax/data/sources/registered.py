"""Data sets that someone registered: objects, or functions that return them."""

from typing import Any

from cnn_jax.data.dataset import Dataset
from cnn_jax.data.parts import Stream
from cnn_jax.data.reading import Wanted
from cnn_jax.ops.geometry import pair
from cnn_jax.runtime import python_file
from cnn_jax.runtime.errors import BadInputError

# Of what is wanted, what a data set that is given whole may be asked for.
TAKEN = {
    "train": ("train",),
    "test": (None, "test"),
    "validation": (None, "validation"),
    "crop": (None,),
    "subsample": (None,),
    "shuffle": (None,),
}
CALLED = {"shuffle": "data.shuffle_pixels", "validation": "data.validate_on"}


def load(name: str, made: Any, directory: str | None, wanted: Wanted) -> Dataset:
    """Return a registered data set as it is.

    Args:
        name: that it has in configs.
        made: a ``Dataset``, or a function of the directory that returns one.
        directory: ``data.dir``, None where it is unset.
        wanted: what a config asks of it.

    Raises:
        BadInputError: the function fails or returns something else, or the config asks for what
            would have to be done while images are read.
    """
    if not isinstance(made, Dataset):
        try:
            made = made(directory)
        except BadInputError:
            raise
        except Exception as error:
            raise BadInputError(f"data.name: {name!r}: {python_file.reason(error)}") from error
    if not isinstance(made, Dataset):
        raise BadInputError(
            f"data.name: {name!r} gives a {type(made).__name__}; a registered data set is a "
            "cnn_jax.Dataset, or a function of the directory that returns one"
        )
    allowed = TAKEN | {"stream": (None, isinstance(made.train, Stream))}
    for field, values in allowed.items():
        asked = getattr(wanted, field)
        if asked not in values:
            raise BadInputError(
                f"{CALLED.get(field, f'data.{field}')} is {asked!r}; {name!r} is registered, and "
                "taken as it is: leave the field unset"
            )
    if wanted.image_size is not None and pair(wanted.image_size, "data.image_size") != made.size:
        rows, columns = made.size
        raise BadInputError(
            f"data.image_size is {wanted.image_size}; {name!r} has images of {rows}x{columns}, "
            "which are not resized: leave it unset"
        )
    return made
