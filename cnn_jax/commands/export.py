"""``export``."""

import argparse
import json

from cnn_jax.commands import flags

HELP = "write a run's network and weights as one file for jax alone"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    flags.add_workdir(parser)
    parser.add_argument(
        "--to", required=True, type=flags.path, metavar="FILE", help="the file to write"
    )
    flags.add_checkpoint(parser)


def run(arguments: argparse.Namespace, rest: list[str]) -> int:
    """Print what the file holds."""
    flags.no_more(rest)
    from cnn_jax.deploy.export import export_run

    about = export_run(arguments.workdir, arguments.to, step=arguments.step, ema=arguments.ema)
    print(json.dumps({"file": arguments.to} | about))
    return 0
