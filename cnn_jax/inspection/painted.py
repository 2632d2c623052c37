"""Style transfer: the first image in the manner of the second."""

from pathlib import Path

import numpy as np

from cnn_jax.analysis import pictures, style
from cnn_jax.analysis.pictures import Chart, Panel
from cnn_jax.inspection.destination import Destination
from cnn_jax.inspection.subject import Subject, spread
from cnn_jax.runtime.errors import BadInputError

CHART = {"content": 0, "style": 1}


def draw_style(subject: Subject, out: Destination) -> list[Path]:
    """Draw the first image in the manner of the second, and how both losses went.

    It works with untrained weights too: colours and fine textures then carry over, for random
    filters tell those apart, but no shapes, which filters have to learn.
    """
    if len(subject.pixels) < 2:
        raise BadInputError("--what=style takes two images: the content, then the style")
    layers = list(subject.probe.maps)
    if not layers:
        raise BadInputError("--what=style: no layer of the network puts out images")
    content = (
        subject.probe.layer(subject.layer, maps=True)
        if subject.layer
        else (layers[len(layers) // 2])
    )
    section = subject.config.data
    mean, std = np.array(section.mean, np.float32), np.array(section.std, np.float32)
    painted, history = style.transfer(
        subject.probe,
        subject.x[0],
        subject.x[1],
        content_layer=content,
        style_layers=(chosen := spread(layers, 5)),
        limits=(-mean / std, (1 - mean) / std),
    )
    seen = subject.visible(np.stack([subject.x[0], subject.x[1], painted]))
    texts = (
        f"content: {subject.captions[0]}\nheld at {content}",
        f"style: {subject.captions[1]}\n{len(chosen)} layers to {chosen[-1]}",
        "painted",
    )
    panels = [Panel(image, text) for image, text in zip(seen, texts, strict=True)]
    picture, losses = out.files("style"), out.files("style-losses")
    pictures.draw([panels], picture, f"style transfer: {subject.title}", side=2.4)
    steps, by_step = list(range(len(history))), np.asarray(history)
    lines = {name: (steps, list(by_step[:, place])) for name, place in CHART.items()}
    chart = Chart(lines, "step", "loss, relative to the content image's", log=False)
    pictures.chart([chart], losses, f"style transfer: {subject.title}")
    return [*picture, *losses]
