"""Gradient flow: from the loss to each layer's weights, and along a line of images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from cnn_jax.analysis import flow, pictures
from cnn_jax.analysis.pictures import Chart
from cnn_jax.analysis.probe import Probe
from cnn_jax.inspection.subject import Subject, pixels_of
from cnn_jax.keys import Purpose, stream
from cnn_jax.train.logging import TRAIN
from cnn_jax.train.loss import cross_entropy

EXAMPLES, LINE = 128, 32


def draw_gradient_flow(subject: Subject, folder: Path) -> list[Path]:
    """Draw gradients by layer and along a line of images, at the initial and the run's weights."""
    part = subject.data().parts[TRAIN]
    first = range(min(EXAMPLES, len(part)))
    x, labels = subject.normalise(pixels_of(part, first)), jnp.asarray(part.labels[:EXAMPLES])
    net = subject.probe
    key = stream(subject.config.seed, Purpose.INIT)
    blank = jnp.zeros((1, *net.image_shape))
    initial = jax.jit(lambda: net.module.init(key, blank, train=False))()
    both = {"initial": Probe(net.module, initial, net.image_shape), "trained": net}
    file = folder / "gradient-flow.png"
    title = f"gradient flow, {len(x)} training images: {subject.title}"
    pictures.chart(compare(both, x, labels, subject.seed), file, title)
    return [file]


def compare(
    networks: Mapping[str, Probe], x: jax.Array, labels: jax.Array, seed: int = 0
) -> list[Chart]:
    """Return charts of the gradients of networks whose layers have the same names.

    Args:
        networks: by the name of their curve.
        x: normalised images ``[N, H, W, C]``, N > 1; the line leads from the first to the second.
        labels: their classes, int ``[N]``.
        seed: of the mix of logits whose input gradients are correlated.
    """
    norms, ratios, lines, ticks = {}, {}, {}, []
    line = flow.along_a_line(x[0], x[1], LINE)
    for name, probe in networks.items():
        gradients = _gradients(probe.module, probe.variables, x, labels)
        by_layer = flow.in_order(flow.layer_norms(gradients), probe.layers)
        weights = flow.layer_norms(probe.variables["params"])
        places, ticks = list(range(len(by_layer))), list(by_layer)
        norms[name] = places, list(by_layer.values())
        ratios[name] = places, list(flow.ratios(by_layer, weights).values())
        found = flow.correlation(flow.input_gradients(probe, line, jax.random.key(seed)))
        lines[name] = list(range(LINE)), list(found)
    return [
        Chart(norms, "", "|gradient| of the kernel", log=True, ticks=ticks),
        Chart(ratios, "", "|gradient| / |kernel|", log=True, ticks=ticks),
        Chart(lines, f"places apart, of {LINE} between two images", "cosine of input gradients"),
    ]


def _gradients(module: Any, variables: Any, x: jax.Array, labels: jax.Array) -> Any:
    """Return the gradient of the mean loss by the parameters, in training mode."""
    rest = {name: value for name, value in variables.items() if name != "params"}

    @jax.jit
    @jax.grad
    def gradient(params):
        outputs, _ = module.apply(
            {"params": params, **rest},
            x,
            train=True,
            mutable=list(rest),
            rngs={"dropout": jax.random.key(0)},
        )
        logits = outputs[0] if isinstance(outputs, tuple) else outputs
        return jnp.mean(cross_entropy(logits, labels))

    return gradient(variables["params"])
