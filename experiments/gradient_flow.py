"""Gradient flow in a plain and a residual network of the same depth, before and after training.

Hypothesis (He et al. 2015, section 4.1; Balduzzi et al. 2017): a plain network's gradients do not
vanish under BatchNorm, they turn into noise: along a line of images the gradients of neighbours
lose their correlation with depth, and identity shortcuts keep some of it.
Control: the same class without its shortcuts, the same initial kernels.

    python experiments/gradient_flow.py --out=DIR [--depth=56] [--plain=RUN --residual=RUN]

Without runs, both networks have their initial weights and the images are smooth noise; with the
folders of two trained runs, it draws those, on their training images. Writes gradient_flow.png.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp

from cnn_jax import inspection, keys, models
from cnn_jax.analysis import pictures
from cnn_jax.analysis.probe import Probe
from cnn_jax.inspection.flowing import EXAMPLES, compare
from cnn_jax.inspection.subject import pixels_of
from cnn_jax.train.logging import TRAIN


def main() -> None:
    """Draw the charts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--depth", type=int, default=56)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plain", type=Path, help="the folder of a trained run")
    parser.add_argument("--residual", type=Path, help="the folder of a trained run")
    flags = parser.parse_args()
    if flags.plain and flags.residual:
        runs = [inspection.open_run(folder) for folder in (flags.plain, flags.residual)]
        part = runs[0].data().parts[TRAIN]
        x = runs[0].normalise(pixels_of(part, range(EXAMPLES)))
        labels = jnp.asarray(part.labels[:EXAMPLES])
        networks = {run.config.model.name: run.probe for run in runs}
        when = "trained"
    else:
        noise, classes = jax.random.split(jax.random.key(flags.seed))
        coarse = jax.random.normal(noise, (EXAMPLES, 8, 8, 3))
        x = jax.image.resize(coarse, (EXAMPLES, 32, 32, 3), "linear")
        labels = jax.random.randint(classes, (EXAMPLES,), 0, 10)
        key = keys.stream(flags.seed, keys.Purpose.INIT)
        networks = {}
        for name in (f"plain{flags.depth}", f"resnet{flags.depth}"):
            module = models.create(name, num_classes=10)
            variables = jax.jit(lambda net=module: net.init(key, x[:1], train=False))()
            networks[name] = Probe(module, variables, (32, 32, 3))
        when = "at initialisation"
    flags.out.mkdir(parents=True, exist_ok=True)
    file = flags.out / "gradient_flow.png"
    pictures.chart(compare(networks, x, labels), file, f"gradient flow {when}, batch {EXAMPLES}")
    print(file)


if __name__ == "__main__":
    main()
