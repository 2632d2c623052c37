"""``summary``."""

import argparse
import sys

from cnn_jax.commands import flags
from cnn_jax.runtime import ranges
from cnn_jax.runtime.errors import BadInputError

HELP = "layer by layer: shapes, parameters, MACs, receptive field"
SIZES = ranges.whole(1, high=100_000)


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    flags.add_model(parser)
    parser.add_argument("--input", metavar="H,W,C", help="of one image; the model's own if unset")
    parser.add_argument("--classes", type=flags.COUNT, metavar="N", help="outputs")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")


def run(arguments: argparse.Namespace, rest: list[str]) -> int:
    """Print the table."""
    flags.no_more(rest)
    from rich.console import Console

    from cnn_jax import models
    from cnn_jax.analysis import summarize
    from cnn_jax.analysis.table import summary_table
    from cnn_jax.runs.counts import default_classes

    shape = models.image_shape(arguments.model)
    if arguments.input is not None:
        shape = _shape(arguments.input)
    classes = arguments.classes
    if classes is None:
        classes = default_classes(shape)
    summary = summarize(models.create(arguments.model, num_classes=classes), shape)
    if arguments.json:
        print(summary.to_json())
    else:
        Console(width=None if sys.stdout.isatty() else 120).print(summary_table(summary))
    return 0


def _shape(text: str) -> tuple[int, int, int]:
    try:
        height, width, channels = map(int, text.split(","))
    except ValueError:
        raise BadInputError(f"--input is H,W,C, such as 224,224,3, not {text!r}") from None
    shape = height, width, channels
    if not all(SIZES.holds(size) for size in shape):
        raise BadInputError(f"--input={text}: a size has to be {SIZES}")
    return shape
