"""Gradient flow: from the loss to each layer's weights, along a line of images, and in training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from cnn_jax.analysis import flow, pictures
from cnn_jax.analysis.pictures import Chart
from cnn_jax.analysis.probe import Probe
from cnn_jax.data.dataset import TRAIN
from cnn_jax.inspection.destination import Destination
from cnn_jax.inspection.subject import Subject, pixels_of, spread
from cnn_jax.nn.calling import mode
from cnn_jax.runtime.random_keys import Purpose, stream
from cnn_jax.tasks.losses import cross_entropy

EXAMPLES, LINE = 128, 32
SHOWN = 5  # steps of a recorded run

# What a line of flow.jsonl holds by block -> how the picture calls it.
RECORDED = {
    "gradient": "|gradient| of the kernels",
    "update_to_weight": "|update| / |kernels|",
    "branch_to_skip": "|branch| / |shortcut|",
}


def draw_gradient_flow(subject: Subject, out: Destination) -> list[Path]:
    """Draw gradients by layer and along a line of images; and by block, as training recorded them.

    At the initial and at the run's weights; what was recorded where train.flow_every was set.
    """
    part = subject.data().parts[TRAIN]
    first = range(min(EXAMPLES, len(part)))
    x, labels = subject.normalise(pixels_of(part, first)), jnp.asarray(part.labels[:EXAMPLES])
    net = subject.probe
    both = {"initial": initial(subject, x), "trained": net}
    files = out.files("gradient-flow")
    title = f"gradient flow, {len(x)} training images: {subject.title}"
    pictures.chart(compare(both, x, labels, subject.seed), files, title)
    if not subject.flow:
        return files
    over = out.files("gradient-flow-training")
    pictures.chart(
        by_step(subject.flow, net.layers), over, f"gradient flow in training: {subject.title}"
    )
    return [*files, *over]


def initial(subject: Subject, x: jax.Array) -> Probe:
    """Return a run's network as it was before training, its statistics those of ``x``."""
    net = subject.probe
    key = stream(subject.config.seed, Purpose.INIT)
    blank = jnp.zeros((1, *net.image_shape))
    variables = jax.jit(lambda: net.module.init(key, blank, **mode(net.module, train=False)))()
    return flow.settled(Probe(net.module, variables, net.image_shape), x)


def by_step(lines: Sequence[Mapping[str, Any]], layers: Any) -> list[Chart]:
    """Return charts by block of some lines of flow.jsonl, a curve a step.

    ``layers``: names in the network's order.
    """
    charts = []
    for quantity, ylabel in RECORDED.items():
        blocks = list(flow.in_order(lines[0][quantity], layers))
        if blocks:
            curves = {
                f"step {line['step']}": (
                    range(len(blocks)),
                    [line[quantity][block] for block in blocks],
                )
                for line in spread(lines, SHOWN)
            }
            charts.append(Chart(curves, "", ylabel, log=True, ticks=blocks))
    return charts


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
    norms, ratios, ticks = {}, {}, []
    for name, probe in networks.items():
        gradients = _gradients(probe.module, probe.variables, x, labels)
        by_layer = flow.in_order(flow.layer_norms(gradients), probe.layers)
        weights = flow.layer_norms(probe.variables["params"])
        places, ticks = list(range(len(by_layer))), list(by_layer)
        norms[name] = places, list(by_layer.values())
        ratios[name] = places, list(flow.ratios(by_layer, weights).values())
    return [
        Chart(norms, "", "|gradient| of the kernel", log=True, ticks=ticks),
        Chart(ratios, "", "|gradient| / |kernel|", log=True, ticks=ticks),
        correlations(networks, x, seed),
    ]


def correlations(networks: Mapping[str, Probe], x: jax.Array, seed: int = 0) -> Chart:
    """Return the chart of input gradients' cosines on the line from one image to the next."""
    line = flow.along_a_line(x[0], x[1], LINE)
    curves = {
        name: (
            range(LINE),
            list(flow.correlation(flow.input_gradients(probe, line, jax.random.key(seed)))),
        )
        for name, probe in networks.items()
    }
    return Chart(curves, f"places apart, of {LINE} between two images", "cosine of input gradients")


def _gradients(module: Any, variables: Any, x: jax.Array, labels: jax.Array) -> Any:
    """Return the gradient of the mean loss by the parameters, in training mode."""
    rest = {name: value for name, value in variables.items() if name != "params"}

    @jax.jit
    @jax.grad
    def gradient(params, rest, x, labels):
        outputs, _ = module.apply(
            {"params": params, **rest},
            x,
            train=True,
            mutable=list(rest),
            rngs={"dropout": jax.random.key(0)},
        )
        logits = outputs[0] if isinstance(outputs, tuple) else outputs
        return jnp.mean(cross_entropy(logits, labels))

    return gradient(variables["params"], rest, x, labels)
