"""``predict``."""

import argparse
import json

from cnn_jax.commands import flags

HELP = "the top classes of image files, one JSON object a line"
LESS_MEMORY = "lower data.image_size (--config.data.image_size=VALUE)"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    flags.add_workdir(parser)
    flags.add_checkpoint(parser)
    parser.add_argument("--top", type=int, default=5, metavar="N", help="classes shown (5)")
    flags.add_names(parser)
    parser.add_argument(
        "images", nargs="+", type=flags.path, metavar="IMAGE", help="image files, or folders"
    )
    flags.add_overrides(parser, "--config.data.FIELD=VALUE takes another size or normalisation")


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Print a line an image."""
    from cnn_jax.deploy.predict import predict

    found = predict(
        arguments.workdir,
        arguments.images,
        step=arguments.step,
        ema=arguments.ema,
        top=arguments.top,
        names=arguments.names,
        overrides=overrides,
    )
    for line in found:
        print(json.dumps(line))
    return 0
