"""How fast images reach the network, and how long the network waits for them.

    python experiments/benchmarks/input.py [--photos=DIR] [--rounds=N] [--out=DIR]

1. Images of CIFAR's size that live on the device: gathered, padded, cropped, flipped and
   normalised inside jit, batches of 128.
2. Photos of a prepared set at 224 with random-resized-crop: ``stream``, as training reads them;
   ``bare loop``, which decodes, crops and resizes files that are in memory and does nothing else;
   ``Pillow to uint8``, what torchvision does to such a file, in Pillow's own calls; and, where it
   is installed, torchvision itself, up to uint8 and up to the normalised floats of its training
   script. All get the same images and windows in the same order, in as many threads as there are
   cores. ``--photos`` holds train/CLASS/*; the default is ``photos`` in the folder that
   CNN_JAX_TEST_DATA names.
3. The share of the time of training steps that they spent waiting for data: ResNet-20 on a
   resident set, ResNet-18 on streamed photos.

1 and 2 count processor seconds of all threads together, which other programs on the machine
disturb least; contenders take turns in one process. Medians with the quartiles of the rounds;
ratios are of each round. The table goes to --out as input.csv and input.md.
"""

import argparse
import io
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import tables  # beside this file, as a script's folder is on the path

from cnn_jax.runtime.malloc import tune_malloc

tune_malloc()  # as the command does, before jax is imported

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

import cnn_jax  # noqa: E402
from cnn_jax.config import base_config  # noqa: E402
from cnn_jax.data import decode, order, resident, sources, stream, threads  # noqa: E402
from cnn_jax.data.parts import Part, Stream  # noqa: E402
from cnn_jax.data.reading import Wanted  # noqa: E402
from cnn_jax.ops.imagenet import MEAN, STD  # noqa: E402
from cnn_jax.runs.experiment import assemble, complete  # noqa: E402
from cnn_jax.runtime.errors import BadInputError  # noqa: E402
from cnn_jax.transfer.reference import import_torchvision  # noqa: E402

SIZE, BATCH, STEPS = 224, 128, 8
WINDOW = {"area": (0.08, 1.0)}
UNIT = "images per core-second"
CIFAR = {"pad_crop": {"padding": 4}, "flip": {}}

Work = Callable[[int], object]  # on the example of that number


def rounds(contenders: Mapping[str, Callable[[], int]], count: int) -> dict[str, list[float]]:
    """Run each once to warm up, then in turns; return the images per core-second of each round."""
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(count + 1):
        for name, run in contenders.items():
            start = time.process_time()
            images = run()
            if turn:
                rates[name].append(images / (time.process_time() - start))
    return rates


def row(what: str, values: list[float], unit: str, digits: int) -> tables.Row:
    """Return a line of the table, and print it."""
    low, middle, high = statistics.quantiles(values, n=4) if len(values) > 1 else 3 * values
    line = {"what": what, "median": middle, "low": low, "high": high, "unit": unit}
    line |= {name: f"{line[name]:,.{digits}f}" for name in ("median", "low", "high")}
    print("{what:<46} {median:>9}   ({low} to {high}) {unit}".format(**line), flush=True)
    return line


def synthetic(model: str, steps: int) -> Any:
    """Return the config of a run on resident images of CIFAR's size."""
    config = base_config()
    config.model.name, config.data.name = model, "synthetic"
    config.data.image_size, config.data.classes = 32, 10
    config.data.batch_size, config.data.augment = BATCH, CIFAR
    config.train.steps, config.train.log_every = steps, 1000
    return config


def cifar_like() -> Callable[[], int]:
    """Return a run of batches of resident 32x32 images through augmentation and scaling."""
    experiment = assemble(complete(synthetic("mlp", 1)))
    part = experiment.parts["train"]
    assert isinstance(part, Part)
    images, labels = jnp.asarray(part.images), jnp.asarray(part.labels)
    make, places = experiment.preprocessing.training_batch(), jnp.arange(BATCH, dtype=jnp.uint32)

    @jax.jit
    def batch(images, labels, rows, step):
        return make(step, places, images[rows], labels[rows], 0)["image"]

    shuffled = resident.Shuffled(0, len(part), BATCH)

    def run() -> int:
        for step in range(100):
            orders, offset = shuffled.locate(step)
            out = batch(images, labels, orders[offset : offset + BATCH], jnp.int32(step))
        out.block_until_ready()
        return 100 * BATCH

    return run


def in_threads(work: Work) -> int:
    """Do the work on all examples, in as many threads as there are cores; return their number."""
    workers, count = threads.available(), STEPS * BATCH

    def share(first: int) -> None:
        for number in range(first, count, workers):
            work(number)

    started = [threading.Thread(target=share, args=(first,)) for first in range(workers)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    return count


def photos(part: Stream) -> dict[str, Callable[[], int]]:
    """Return the ways to get at photos: streamed, bare, by Pillow, by torchvision."""
    batches = stream.Batches(part, BATCH, steps=STEPS, window=WINDOW)
    rows = np.concatenate([batches.rows(step) for step in range(STEPS)])
    files = {int(row): part.encoded(row) for row in rows}

    def streamed() -> int:
        with stream.read_ahead(batches) as iterator:
            return sum(len(batch["image"]) for batch in iterator)

    def window(number: int, height: int, width: int) -> tuple[int, int, int, int]:
        return stream.random_window(0, number, height, width, WINDOW)

    def bare(number: int) -> np.ndarray:
        def box(height: int, width: int) -> decode.Box:
            top, left, high, wide = window(number, height, width)
            return left, top, left + wide, top + high

        return decode.show(files[int(rows[number])], part.view, box)

    def opened(number: int) -> Image.Image:
        with Image.open(io.BytesIO(files[int(rows[number])])) as file:
            return file.convert("RGB")

    def by_pillow(number: int) -> np.ndarray:
        image = opened(number)
        top, left, high, wide = window(number, image.height, image.width)
        image = image.crop((left, top, left + wide, top + high))
        image = image.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        if number % 2:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))

    works: dict[str, Work] = {"bare loop": bare, "Pillow to uint8": by_pillow}
    works |= by_torchvision(opened, window)
    return {"stream": streamed} | {
        name: lambda work=work: in_threads(work) for name, work in works.items()
    }


def by_torchvision(opened: Callable[[int], Image.Image], window: Any) -> dict[str, Work]:
    """Return torchvision's own functions on the same images and windows, where it is installed."""
    try:
        import_torchvision()  # also one whose compiled operators do not load
        import torch  # pyright: ignore[reportMissingImports]
        from torchvision.transforms import functional  # pyright: ignore[reportMissingImports]
    except BadInputError as error:
        print(f"torchvision itself is left out: {error}", file=sys.stderr)
        return {}
    torch.set_num_threads(1)

    def to_pixels(number: int) -> Any:
        image: Any = opened(number)
        top, left, high, wide = window(number, image.height, image.width)
        image = functional.resized_crop(image, top, left, high, wide, [SIZE, SIZE])
        return functional.hflip(image) if number % 2 else image

    def to_floats(number: int) -> Any:
        return functional.normalize(functional.to_tensor(to_pixels(number)), list(MEAN), list(STD))

    return {
        "torchvision to uint8": lambda number: functional.pil_to_tensor(to_pixels(number)),
        "torchvision to floats": to_floats,
    }


def waiting(config: Any) -> float:
    """Train a little; return the share of the time of the steps that was spent on data, in %."""
    examples = len(assemble(complete(config)).parts["train"])
    order.permutation(config.seed, 0, examples)  # compiled once in a process, not waited for again
    with tempfile.TemporaryDirectory() as folder:
        result = cnn_jax.train_and_evaluate(config, Path(folder) / "run")
    use = result["seconds_by_use"]
    return 100 * use["data"] / (use["data"] + use["compute"])


def streamed_photos(folder: str) -> Any:
    """Return the config of a run on streamed photos, few of them."""
    config = base_config()
    config.model.name, config.data.name, config.data.dir = "resnet18", "folder", folder
    config.data.image_size, config.data.validation, config.data.batch_size = SIZE, 0.0, 16
    config.data.train = "train[:64]"
    config.data.augment = {"random_resized_crop": {}, "flip": {}}
    config.optim.learning_rate = 0.01
    config.train.steps, config.train.log_every = 8, 1000
    return config


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    root = os.environ.get("CNN_JAX_TEST_DATA")
    parser.add_argument("--photos", default=None if root is None else str(Path(root) / "photos"))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rates = rounds({"resident": cifar_like()}, arguments.rounds)["resident"]
    table = [row("resident 32x32, pad-crop, flip, normalised", rates, UNIT, 0)]
    if arguments.photos is not None:
        part = sources.load("folder", arguments.photos, Wanted(image_size=SIZE, stream=True)).train
        assert isinstance(part, Stream)
        found = rounds(photos(part), arguments.rounds)
        for name, rates in found.items():
            table.append(row(f"photos: {name}", rates, UNIT, 0))
        ours = found.pop("stream")
        for name, others in found.items():
            ratios = [mine / other for mine, other in zip(ours, others, strict=True)]
            table.append(row(f"photos: stream / {name}", ratios, "times", 2))
    share = waiting(synthetic("resnet20", 28))
    unit = "% of the steps' time"
    table.append(row("waiting for data, resident, ResNet-20", [share], unit, 2))
    if arguments.photos is not None:
        share = waiting(streamed_photos(arguments.photos))
        table.append(row("waiting for data, streamed, ResNet-18", [share], unit, 2))
    if arguments.out:
        libraries = ("jax", "grain", "simplejpeg", "opencv-python-headless", "pillow")
        tables.write(arguments.out, "input", table, tables.versions(*libraries, "torchvision"))


if __name__ == "__main__":
    main()
