"""``plan``."""

import argparse
import json
import os

from cnn_jax.commands import flags

HELP = "compile the train step for a TPU slice: memory, FLOPs, collectives"
LESS_MEMORY = "lower data.batch_size or data.image_size, or raise optim.accumulate"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    flags.add_config(parser)
    flags.add_overrides(parser, flags.ANY_FIELD)
    parser.add_argument("--topology", required=True, help="the slice, such as v5e:2x2 or v4:2x2x1")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of lines")


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Print what the step takes."""
    # Nothing runs on a device; libtpu must not look for a TPU that other programs may hold.
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    from cnn_jax.planning.plan import plan
    from cnn_jax.runs import experiment

    found = plan(experiment.load_config(arguments.config, overrides), arguments.topology)
    print(json.dumps(found.to_dict()) if arguments.json else "\n".join(found.lines()))
    return 0
