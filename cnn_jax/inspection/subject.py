"""What is looked at: a run's network and some images."""

import dataclasses
import functools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cnn_jax.analysis.pictures import Panel
from cnn_jax.analysis.probe import Probe
from cnn_jax.analysis.receptive_field import ReceptiveField
from cnn_jax.analysis.summary import views
from cnn_jax.config import Config
from cnn_jax.data import preprocessing
from cnn_jax.data.dataset import TEST
from cnn_jax.data.parts import Part, Stream
from cnn_jax.deploy.predict import image_files, read_images, sizes, with_data
from cnn_jax.runs import captions, from_config, workdir
from cnn_jax.runs.experiment import Experiment, assemble
from cnn_jax.runs.from_config import input_shape
from cnn_jax.runs.restore import load_step
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train.checkpoint import Step
from cnn_jax.train.logging import read_metrics

IMAGES = 6  # test images that are looked at unless files are given
BATCH = 64


@dataclasses.dataclass(frozen=True, eq=False)
class Subject:
    """What is looked at.

    Attributes:
        probe: the network.
        config: of the run.
        title: model, data and checkpoint, for the pictures' headings.
        shown: the images and their captions, read when first asked for.
        names: of the classes.
        data: the run's data, read when first asked for.
        layer: as asked for, or None.
        unit: as asked for, or None.
        seed: of whatever is random.
        flow: the lines of the run's flow.jsonl.
        folder: of the run.
    """

    probe: Probe
    config: Config
    title: str
    shown: Callable[[], tuple[np.ndarray, Sequence[str]]]
    names: Sequence[str]
    data: Callable[[], Experiment]
    layer: str | None = None
    unit: int | None = None
    seed: int = 0
    flow: Sequence[Mapping[str, Any]] = ()
    folder: Path = Path()

    @property
    def pixels(self) -> np.ndarray:
        """The images, uint8 ``[N, H, W, C]``."""
        return self.shown()[0]

    @property
    def captions(self) -> Sequence[str]:
        """What each image is: its file's name or its true class."""
        return self.shown()[1]

    def normalise(self, pixels: np.ndarray) -> jax.Array:
        """Return pixels as the network takes them, ``[N, H, W, C]``."""
        section = self.config.data
        return preprocessing.scale(jnp.asarray(pixels), section.mean, section.std, jnp.float32)

    def visible(self, x: Any) -> np.ndarray:
        """Return normalised images ``[N, H, W, C]`` as colours ``[N, H, W, 3]`` in 0..1."""
        section = self.config.data
        return colours(np.asarray(x) * np.array(section.std) + np.array(section.mean))

    @functools.cached_property
    def x(self) -> jax.Array:
        """The images, normalised."""
        return self.normalise(self.pixels)

    @functools.cached_property
    def shares(self) -> np.ndarray:
        """Each image's probabilities, ``[N, classes]``."""
        task = from_config.task(self.config)
        return np.asarray(task.scores(jax.jit(self.probe)(self.x)))

    @property
    def classes(self) -> np.ndarray:
        """The likeliest class of each image, int ``[N]``."""
        return self.shares.argmax(axis=1)

    @functools.cached_property
    def views(self) -> dict[str, ReceptiveField]:
        """What each layer sees of the input, as far as can be said."""
        return views(self.probe.module, self.probe.image_shape)

    def originals(self) -> list[Panel]:
        """Return the images."""
        return [Panel(image) for image in colours(self.pixels / 255)]

    def verdicts(self) -> list[str]:
        """Return what each image is and what the network says of it, a line each."""
        return [
            f"{caption}\npredicted {self.names[c]}, {share[c]:.0%}"
            for caption, c, share in zip(self.captions, self.classes, self.shares, strict=True)
        ]

    def batches(self, part: Part | Stream) -> Iterator[jax.Array]:
        """Yield a part's images, normalised, a batch at a time."""
        for start in range(0, len(part), BATCH):
            rows = range(start, min(start + BATCH, len(part)))
            yield self.normalise(pixels_of(part, rows))


def pixels_of(part: Part | Stream, rows: Iterable[int]) -> np.ndarray:
    """Return some images of a part, in memory or on disk, uint8 ``[N, H, W, C]``."""
    return np.stack([part.read(int(row)) for row in rows])


def colours(images: np.ndarray) -> np.ndarray:
    """Return images ``[N, H, W, C]`` in 0..1 as ``[N, H, W, 3]``: grey, or the first channels."""
    images = np.asarray(images, np.float32)
    channels = images.shape[-1]
    return images[..., :3] if channels >= 3 else np.repeat(images[..., :1], 3, axis=-1)


def open_run(
    folder: str | Path,
    files: Sequence[str | Path] = (),
    *,
    step: Step = None,
    ema: bool = False,
    layer: str | None = None,
    unit: int | None = None,
    seed: int = 0,
    overrides: Sequence[str] = (),
) -> Subject:
    """Return a run's network with the images of ``files``, or some of its test set.

    Raises:
        BadInputError: no run, a layer it does not have, images that cannot be read.
    """
    folder, files = Path(folder), image_files(files)
    module, variables, config, step = load_step(folder, step, ema=ema)
    config = with_data(module, variables, config, overrides)
    # Whatever a run computes in, it is looked at in float32.
    if config.train.precision != "float32":
        module = module.clone(dtype=jnp.float32)
        variables = jax.tree.map(lambda v: jnp.asarray(v, jnp.float32), variables)
    probe = Probe(module, variables, input_shape(config))
    if layer is not None:
        probe.layer(layer)

    @functools.cache
    def data() -> Experiment:
        if config.data.name is None:
            raise BadInputError(
                "the run was not trained here and names no data; give image files, or "
                "--config.data.name=folder --config.data.dir=DIR"
            )
        return assemble(config, known)

    known = workdir.read_classes(folder)
    names = known or [str(c) for c in range(config.data.classes)]

    @functools.cache
    def shown() -> tuple[np.ndarray, Sequence[str]]:
        if files:
            pixels = read_images(files, config)
            _say_resized(files, pixels.shape[1:3])
            return pixels, [Path(file).name for file in files]
        part = data().parts[TEST]
        rows = _one_a_class(part.labels)
        return pixels_of(part, rows), [names[label] for label in part.labels[rows]]

    if files:
        shown()  # a broken file is told before anything is drawn
    title = f"{captions.title(config)}, step {step}" + (", averaged" if ema else "")
    recorded = [x for x in read_metrics(folder / workdir.FLOW) if x["step"] <= step]
    return Subject(probe, config, title, shown, names, data, layer, unit, seed, recorded, folder)


def _say_resized(files: Sequence[str | Path], size: tuple[int, ...]) -> None:
    for file, stored in zip(files, sizes(files), strict=True):
        if stored != size:
            given, taken = ("x".join(map(str, side)) for side in (stored, size))
            print(f"{file}: {given} pixels, resized to {taken}", file=sys.stderr)


def _one_a_class(labels: np.ndarray) -> np.ndarray:
    """Return the rows of the first examples of the first classes, ``IMAGES`` in all."""
    turn = np.zeros(len(labels), int)  # an example's place among those of its class
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        turn[own] = np.arange(len(own))
    return np.lexsort((labels, turn))[:IMAGES]


def spread(items: Sequence[Any], count: int) -> list[Any]:
    """Return ``count`` of the items, evenly spread, the first and the last among them."""
    places = np.unique(np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int))
    return [items[place] for place in places]


def around_grey(images: np.ndarray) -> np.ndarray:
    """Return signed images ``[N, H, W, C]`` as colours in 0..1, zero at a half, each scaled."""
    most = np.abs(images).max(axis=(1, 2, 3), keepdims=True)
    return colours(0.5 + 0.5 * images / np.where(most > 0, most, 1))
