"""Data as people have them: arrays, a folder of images, the name of a set."""

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax.data import sources
from cnn_jax.data.dataset import Dataset
from cnn_jax.data.parts import Part, Stream
from cnn_jax.data.prepare import builders
from cnn_jax.ops import imagenet
from cnn_jax.runtime.errors import BadInputError

CLASSES = 10**6  # at most, as in a config


def dataset(
    train: Any,
    *,
    validation: Any = None,
    test: Any = None,
    seed: int = 0,
) -> Dataset:
    """Return what is given as a data set.

    Args:
        train: a ``Dataset``; arrays (images, labels), see ``part``; a folder of images; or the name
            of a source, such as ``"digits"``.
        validation: the share of the training examples that is validated on, seeded and stratified;
            or arrays, or a part. If None, what a set itself has to validate on; if 0, nothing.
        test: arrays, or a part; what a set itself has if None.
        seed: which examples are validated on.

    Raises:
        BadInputError: it is none of these, or there is something wrong with it.
    """
    parts: dict[str, Any] = {} if test is None else {"test": part(test, "test")}
    share = validation if isinstance(validation, (int, float)) else None
    if share is not None and not 0 <= share < 1:
        raise BadInputError(f"validation is {share}; a share is at least 0 and below 1")
    if share is not None:
        parts["validation"] = None
    elif validation is not None:
        parts["validation"] = part(validation, "validation")
    if isinstance(train, Dataset):
        found = train
    elif isinstance(train, (str, Path)):
        found = _named(train)
    else:
        held = part(train, "train")
        given = [held, *(each for each in parts.values() if each is not None)]
        if held.labels.ndim > 1:
            count = held.labels.shape[1]
        else:
            count = 1 + max(int(each.labels.max(initial=0)) for each in given)
        names = tuple(map(str, range(count)))
        found = Dataset(held, parts.get("test"), names, held.image_shape[:2])
    for name, each in parts.items():
        if each is not None and each.image_shape != found.train.image_shape:
            raise BadInputError(
                f"the {name} images are {list(each.image_shape)}, those to train on "
                f"{list(found.train.image_shape)}"
            )
    if parts:
        found = dataclasses.replace(found, **parts)
    return found.held_out(share, seed) if share else found


def constants(data: Dataset) -> tuple[Any, Any]:
    """Return mean and standard deviation by channel: known, stored with the set, or computed.

    None and None for images that are no pixels.

    Raises:
        BadInputError: images that are streamed, whose constants nobody computed.
    """
    if data.mean is not None and data.std is not None:
        return data.mean, data.std
    if isinstance(data.train, Stream):
        raise BadInputError(
            "data.mean: nobody computed this set's when it was prepared; set data.mean and "
            f"data.std, such as ImageNet's {imagenet.MEAN} and {imagenet.STD}"
        )
    if data.train.images.dtype != np.uint8:
        return None, None
    mean, std = builders.moments(builders.histogram(data.train.images))
    return tuple(mean.tolist()), tuple(std.tolist())


def test_part(data: Any) -> Part | Stream:
    """Return examples to evaluate: arrays or a part, or the test part of what ``dataset`` takes."""
    if isinstance(data, (tuple, list, Part, Stream)):
        return part(data, "given")
    found = dataset(data).test
    if found is None:
        raise BadInputError("the data have no test part; give (images, labels)")
    return found


def _named(name: str | Path) -> Dataset:
    """Return the set of a folder, or of a source's name; what was left out of it is told."""
    if isinstance(name, Path) or Path(name).is_dir():
        found = sources.load("folder", str(name))
    else:
        found = sources.load(name, None)
    for line in found.notes:
        print(line, file=sys.stderr)
    return found


def part(given: Any, name: str) -> Part | Stream:
    """Return examples as a part of a data set.

    Args:
        given: a part, or (images, labels): images ``[N, H, W, C]`` or ``[N, H, W]``, pixels as
            uint8, or floating-point numbers that the network takes as they are; labels are whole
            numbers ``[N]``, from 0 on, or targets ``[N, labels]``.
        name: of the part, for messages.

    Raises:
        BadInputError: arrays of other shapes or types, numbers that are not finite, or a label that
            is none.
    """
    if isinstance(given, (Part, Stream)):
        return given
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        raise BadInputError(
            f"the {name} data are a {type(given).__name__}; give (images, labels), a folder of "
            "images, or the name of a data set"
        )
    images, labels = (np.asarray(array) for array in given)
    if images.ndim == 3:
        images = images[..., None]
    if np.issubdtype(images.dtype, np.floating) or str(images.dtype) == "bfloat16":
        images = images.astype(np.float32)
    if images.ndim != 4 or images.dtype not in (np.uint8, np.float32) or not images.size:
        raise BadInputError(
            f"the {name} images are {images.dtype}{list(np.shape(given[0]))}; they have to be "
            "[N, H, W, C] or [N, H, W], pixels as uint8 or numbers as floats"
        )
    if labels.ndim == 2 and len(labels) == len(images):
        return _with_targets(images, labels, name)
    if labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer):
        raise BadInputError(
            f"the {name} labels are {labels.dtype}{list(labels.shape)}; {len(images)} images have "
            f"whole numbers [{len(images)}]"
        )
    if labels.min() < 0 or labels.max() >= CLASSES:
        raise BadInputError(
            f"the {name} labels go from {labels.min()} to {labels.max()}; a class is a whole "
            f"number from 0 on, below {CLASSES:,}"
        )
    return _part(images, labels.astype(np.int32), name)


def _with_targets(images: np.ndarray, labels: np.ndarray, name: str) -> Part:
    """Return examples with several labels each: whole numbers as int32, others as float32."""
    if labels.dtype.kind not in "biuf":
        raise BadInputError(f"the {name} targets are {labels.dtype}; they have to be numbers")
    kind = np.float32 if labels.dtype.kind == "f" else np.int32
    return _part(images, labels.astype(kind), name)


def _part(images: np.ndarray, labels: np.ndarray, name: str) -> Part:
    try:
        return Part(images, labels)
    except BadInputError as error:
        raise BadInputError(f"the {name} data: {error}") from None
