"""``evaluate``."""

import argparse
import json

from cnn_jax.commands import flags

HELP = "evaluate a run's checkpoint; print one JSON object"
LESS_MEMORY = "lower data.batch_size or data.image_size (--config.data.FIELD=VALUE)"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    flags.add_workdir(parser)
    parser.add_argument("--split", default="test", help="test (default), validation or train")
    flags.add_checkpoint(parser)
    flags.add_names(parser)
    about = "a folder for all metrics, every example's scores, plots of confusion and reliability"
    parser.add_argument("--out", type=flags.path, metavar="DIR", help=about)
    flags.add_format(parser)
    flags.add_overrides(parser, "--config.data.FIELD=VALUE takes other data")


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Print the metrics."""
    from cnn_jax.runs.evaluate import evaluate_run
    from cnn_jax.train import compilation

    compilation.keep_compiled_in_cache()
    measured = evaluate_run(
        arguments.workdir,
        split=arguments.split,
        step=arguments.step,
        ema=arguments.ema,
        overrides=overrides,
        names=arguments.names,
        out=arguments.out,
        picture_format=arguments.format,
    )
    print(json.dumps(measured))
    return 0
