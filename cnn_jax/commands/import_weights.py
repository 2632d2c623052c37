"""``import-weights``."""

import argparse
import json
import sys

from cnn_jax.commands import flags
from cnn_jax.runtime.errors import BadInputError

HELP = "make a run's folder of PyTorch weights"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    flags.add_model(parser)
    about = "the weights"
    parser.add_argument(
        "--from", required=True, dest="file", type=flags.path, metavar="FILE", help=about
    )
    flags.add_workdir(parser)
    parser.add_argument(
        "--transform_input",
        choices=("true", "false"),
        help="googlenet, inception_v3: images are converted to (value - .5) / .5, as torchvision's "
        "trained ones convert them; as the weights say if unset, else true",
    )


def run(arguments: argparse.Namespace, rest: list[str]) -> int:
    """Print what was imported, and how far each layer is from PyTorch's where it is installed."""
    flags.no_more(rest)
    from cnn_jax.runs.import_run import import_run
    from cnn_jax.transfer import import_report

    choice = None if arguments.transform_input is None else arguments.transform_input == "true"
    made = import_run(arguments.model, arguments.file, arguments.workdir, transform_input=choice)
    print(json.dumps(made | {"workdir": arguments.workdir}))
    same = {name: value for name, value in made.items() if name == "transform_input"}
    try:
        rows = import_report(arguments.model, arguments.file, **same)
    except BadInputError as error:
        print(f"not compared layer by layer: {error}", file=sys.stderr)
        return 0
    print(f"{'layer':<40} {'largest difference':>18} {'largest value':>14}", file=sys.stderr)
    for row in rows:
        path = row.path or "logits"
        print(f"{path:<40} {row.difference:>18.3g} {row.largest:>14.3g}", file=sys.stderr)
    return 0
