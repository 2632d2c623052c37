"""How fast images reach the network, and how long the network waits for them.

    python experiments/benchmarks/input.py [--photos=DIR] [--rounds=N] [--skip_training]

Three questions, each answered with images per second and core:

1. Images of CIFAR's size that live on the device: gathered, padded, cropped, flipped and
   normalised inside jit, batches of 128.
2. Photos streamed from a prepared set, at 224 with random-resized-crop, beside a bare loop that
   does nothing but decode, crop and resize in as many threads, and beside the same by Pillow, as
   torchvision does it: up to uint8 (all that this project's host does), and up to the normalised
   floats of torchvision's training script. ``--photos`` holds train/CLASS/*; the default is
   ``photos`` in the folder that CNN_JAX_TEST_DATA names.
3. The share of a training run that its steps spent waiting for data: resident and streamed.

Contenders take turns in one process; a core's second is a second of processor time, of all
threads together, which other programs on the machine disturb least. The best round counts.
"""

import argparse
import io
import json
import os
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cnn_jax.memory import tune_malloc

tune_malloc()  # as the command does, before jax is imported

import jax  # noqa: E402
import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

import cnn_jax  # noqa: E402
from cnn_jax.config import base_config  # noqa: E402
from cnn_jax.data import decode, resident, sources, stream, threads  # noqa: E402
from cnn_jax.data.parts import Part, Stream  # noqa: E402
from cnn_jax.data.reading import Wanted  # noqa: E402
from cnn_jax.experiment import assemble, complete  # noqa: E402

SIZE = 224
BATCH = 128
WINDOW = {"area": (0.08, 1.0)}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def timed(run: Callable[[], int]) -> float:
    """Return images per core-second of a function that returns how many it handled."""
    start = time.process_time()
    return run() / (time.process_time() - start)


def interleaved(contenders: dict[str, Callable[[], int]], rounds: int) -> dict[str, float]:
    """Run each once to warm up, then in turns; return the best of each."""
    for run in contenders.values():
        run()
    best = dict.fromkeys(contenders, 0.0)
    for _ in range(rounds):
        for name, run in contenders.items():
            best[name] = max(best[name], timed(run))
    return best


def cifar_like() -> Callable[[], int]:
    """Return a run of batches of resident 32x32 images through augmentation and scaling."""
    config = base_config()
    config.model.name, config.data.name = "mlp", "synthetic"
    config.data.image_size, config.data.classes = 32, 10
    config.data.batch_size, config.train.steps = BATCH, 1
    config.data.augment = {"pad_crop": {"padding": 4}, "flip": {}}
    experiment = assemble(complete(config))
    part = experiment.parts["train"]
    assert isinstance(part, Part)
    images, labels = jnp.asarray(part.images), jnp.asarray(part.labels)
    make, places = experiment.training_batch(), jnp.arange(BATCH, dtype=jnp.uint32)

    @jax.jit
    def batch(images, labels, rows, step):
        return make(step, places, images[rows], labels[rows])["image"]

    shuffled = resident.Shuffled(0, len(part), BATCH)

    def run() -> int:
        for step in range(100):
            orders, offset = shuffled.locate(step)
            out = batch(images, labels, orders[offset : offset + BATCH], jnp.int32(step))
        out.block_until_ready()
        return 100 * BATCH

    return run


def in_threads(count: int, work: Callable[[int], object]) -> int:
    """Do so many things in as many threads as there are cores; return the count."""
    workers = threads.available()

    def share(first: int) -> None:
        for number in range(first, count, workers):
            work(number)

    started = [threading.Thread(target=share, args=(first,)) for first in range(workers)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    return count


def photos(folder: str) -> dict[str, Callable[[], int]]:
    """Return the ways to get at photos: streamed, bare, and by Pillow."""
    wanted = Wanted(image_size=SIZE, stream=True)
    part = sources.load("folder", folder, wanted).train
    assert isinstance(part, Stream)
    encoded = [part.encoded(row) for row in range(len(part))]
    steps = max(1, 2 * len(part) // BATCH)
    count = steps * BATCH

    def streamed() -> int:
        batches = stream.Batches(part, BATCH, steps=steps, window=WINDOW)
        with stream.read_ahead(batches) as iterator:
            return sum(len(batch["image"]) for batch in iterator)

    def bare(number: int) -> np.ndarray:
        def window(height: int, width: int) -> decode.Box:
            top, left, rows, columns = stream.random_window(0, number, height, width, WINDOW)
            return left, top, left + columns, top + rows

        return decode.show(encoded[number % len(encoded)], part.view, window)

    def by_pillow(number: int) -> np.ndarray:
        with Image.open(io.BytesIO(encoded[number % len(encoded)])) as file:
            image = file.convert("RGB")
        top, left, rows, columns = stream.random_window(
            0, number, image.height, image.width, WINDOW
        )
        image = image.crop((left, top, left + columns, top + rows))
        image = image.resize((SIZE, SIZE), Image.Resampling.BILINEAR)
        if number % 2:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1))

    mean, std = (np.array(x, np.float32)[:, None, None] for x in (MEAN, STD))

    def to_floats(number: int) -> np.ndarray:
        return (by_pillow(number).astype(np.float32) / 255 - mean) / std

    return {
        "stream": streamed,
        "bare loop": lambda: in_threads(count, bare),
        "Pillow to uint8": lambda: in_threads(count, by_pillow),
        "Pillow to floats": lambda: in_threads(count, to_floats),
    }


def waiting(fields: Mapping[str, Any]) -> str:
    """Train a little; return the share of the time that steps waited for data, in words."""
    config = base_config()
    flat = {"train.log_every": 1000, "optim.learning_rate": 0.01} | dict(fields)
    for name, value in flat.items():
        section, _, field = name.partition(".")
        with config[section].unlocked():
            config[section][field] = value
    with tempfile.TemporaryDirectory() as folder:
        result = cnn_jax.train_and_evaluate(config, folder)
    use = result["seconds_by_use"]
    steps = use["data"] + use["compute"]
    return f"{use['data'] / steps:.2%} of {steps:.1f} s ({result['steps']} steps)"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    root = os.environ.get("CNN_JAX_TEST_DATA")
    parser.add_argument("--photos", default=None if root is None else str(Path(root) / "photos"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--skip_training", action="store_true")
    arguments = parser.parse_args()
    print(json.dumps({"cores": threads.available(), "jax": jax.__version__}))
    rate = interleaved({"resident": cifar_like()}, arguments.rounds)["resident"]
    print(f"resident, 32x32, pad-crop and flip: {rate:,.0f} images per core-second")
    if arguments.photos is not None:
        rates = interleaved(photos(arguments.photos), arguments.rounds)
        print(f"photos at {SIZE}, random-resized-crop, images per core-second:")
        for name, rate in rates.items():
            print(f"  {name:<18} {rate:6,.0f}   stream is {rates['stream'] / rate:.2f} of it")
    if arguments.skip_training:
        return
    cifar = {"data.name": "synthetic", "data.image_size": 32, "data.classes": 10}
    recipe = {"data.augment": {"pad_crop": {"padding": 4}, "flip": {}}, "train.steps": 30}
    print("waiting, resident, resnet20:", waiting(cifar | recipe | {"model.name": "resnet20"}))
    if arguments.photos is not None:
        large = {"data.name": "folder", "data.dir": arguments.photos, "data.image_size": SIZE}
        recipe = {"data.augment": {"random_resized_crop": {}, "flip": {}}, "train.steps": 6}
        large |= recipe | {"data.batch_size": 16, "data.validation": 0.0}
        print("waiting, streamed, resnet18:", waiting(large | {"model.name": "resnet18"}))


if __name__ == "__main__":
    main()
