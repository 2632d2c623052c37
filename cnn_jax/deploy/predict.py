"""The classes of image files, by a run's network."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import flax.linen as nn
import jax
import numpy as np

from cnn_jax import config as configs
from cnn_jax.config import Config
from cnn_jax.data import decode, preprocessing
from cnn_jax.data.sources.folder import IMAGES
from cnn_jax.nn.calling import mode
from cnn_jax.runs import class_names, from_config
from cnn_jax.runs.from_config import input_shape
from cnn_jax.runs.restore import check_fits, load_step
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train.checkpoint import Step
from cnn_jax.train.state import Variables

BATCH = 64


def with_data(
    module: nn.Module, variables: Variables, config: Config, overrides: Sequence[str]
) -> Config:
    """Return a run's config with ``--config.data.FIELD=VALUE`` overrides.

    Raises:
        BadInputError: other overrides, a normalisation that is not the network's channels', or a
            size that its weights do not fit.
    """
    channels, shape = len(config.data.mean), input_shape(config)
    config = configs.override_data(config, overrides)
    for name in ("mean", "std"):
        given = config.data[name]
        if given is None or len(given) != channels:
            raise BadInputError(
                f"data.{name} is {given}; the network takes {channels} channels, a number for each"
            )
    if config.data.image_size is None:
        raise BadInputError(
            f"data.image_size is unset; images are resized to it, {shape[0]}x{shape[1]} in training"
        )
    if input_shape(config) != shape:
        check_fits(module, variables, input_shape(config))
    return config


def read_images(files: Sequence[str | Path], config: Config) -> np.ndarray:
    """Return image files as uint8 ``[N, H, W, C]``, as the network of ``config`` takes them.

    They are made grey or coloured and resized as images of the source ``folder`` are.

    Raises:
        BadInputError: a file that is missing or broken, or a network of other than 1 or 3 channels.
    """
    channels = len(config.data.mean)
    if channels not in (1, 3):
        raise BadInputError(f"image files have 1 or 3 channels; the network takes {channels}")
    view = from_config.view(config)
    images = np.empty((len(files), *view.shape), np.uint8)
    for place, file in enumerate(files):
        try:
            images[place] = decode.show(Path(file).read_bytes(), view)
        except OSError as error:
            raise BadInputError(f"{str(file)!r}: {error.strerror}") from None
        except ValueError as error:
            raise BadInputError(f"{str(file)!r} {error}") from None
    return images


def image_files(given: Iterable[str | Path]) -> list[str | Path]:
    """Return image files, in the place of a folder those in it and below, sorted by their names.

    Raises:
        BadInputError: a folder that holds no files with the endings of images.
    """
    found: list[str | Path] = []
    for each in given:
        if not Path(each).is_dir():
            found.append(each)
            continue
        inside = [path for path in Path(each).rglob("*") if path.suffix.lower() in IMAGES]
        if not inside:
            endings = ", ".join(IMAGES)
            raise BadInputError(f"{str(each)!r} is a folder without image files ({endings})")
        found += sorted(inside)
    return found


def sizes(files: Sequence[str | Path]) -> list[tuple[int, int]]:
    """Return (rows, columns) of image files that ``read_images`` took, upright."""
    shapes = (decode.pixels(Path(file).read_bytes()).shape for file in files)
    return [(rows, columns) for rows, columns, _ in shapes]


def predict(
    folder: str | Path,
    files: Sequence[str | Path],
    *,
    step: Step = None,
    ema: bool = False,
    top: int = 5,
    names: str | Path | None = None,
    overrides: Sequence[str] = (),
) -> Iterator[dict[str, Any]]:
    """Yield for each image its ``top`` classes with their probabilities, the likeliest first.

    Args:
        folder: of the run.
        files: images, or folders of them.
        step: of the checkpoint, ``latest`` (also None) or ``best``.
        ema: the averaged network, of a run with ``optim.ema``.
        top: how many classes.
        names: a text file with the classes' names; those that the run knows if None.
        overrides: ``--config.data.FIELD=VALUE``: another size or normalisation.

    Yields:
        ``image`` and ``classes``, a list of ``index``, ``probability`` and, where the classes have
        names, ``class``.

    Raises:
        BadInputError: whatever is wrong with the run or the files, before anything is yielded.
    """
    if top < 1:
        raise BadInputError(f"--top={top}: it has to be at least 1")
    module, variables, config, _ = load_step(Path(folder), step, ema=ema)
    config = with_data(module, variables, config, overrides)
    section = config.data
    known = class_names.of_run(Path(folder), section.classes, names)
    files = image_files(files)
    pixels = read_images(files, config)
    task = from_config.task(config)
    if not hasattr(task, "scores"):
        raise BadInputError(f"task {config.task.name!r} has no scores of classes to show")

    @jax.jit
    def probabilities(variables, pixels):
        images = preprocessing.scale(pixels, section.mean, section.std, config.train.precision)
        return task.scores(module.apply(variables, images, **mode(module, train=False)))

    with jax.enable_x64(config.train.precision == "float64"):
        for start in range(0, len(pixels), BATCH):
            part = pixels[start : start + BATCH]
            rows = min(BATCH, len(pixels))  # one shape for all batches: the last is filled up
            filled = np.concatenate([part, np.zeros((rows - len(part), *part.shape[1:]), np.uint8)])
            found = np.asarray(probabilities(variables, filled))[: len(part)]
            for file, row in zip(files[start:], found, strict=False):
                best = np.argsort(-row, kind="stable")[:top]
                yield {"image": str(file), "classes": [_class(int(i), row, known) for i in best]}


def _class(index: int, row: np.ndarray, names: Sequence[str] | None) -> dict[str, Any]:
    named = {} if names is None else {"class": names[index]}
    return named | {"index": index, "probability": float(row[index])}
