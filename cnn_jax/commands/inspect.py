"""``inspect``."""

import argparse
from pathlib import Path

from cnn_jax.commands import flags
from cnn_jax.runtime.errors import BadInputError

HELP = "look inside a network, or at what it is given"
LESS_MEMORY = "lower data.image_size (--config.data.image_size=VALUE)"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("--workdir", type=flags.path, metavar="DIR", help="the run's folder")
    flags.add_config(parser, "; for batch, instead of a run", required=False)
    parser.add_argument("--what", required=True, metavar="KIND", help="what to draw, or 'all'")
    text = "where the pictures go"
    parser.add_argument("--out", required=True, type=flags.path, metavar="DIR", help=text)
    parser.add_argument("--layer", metavar="NAME", help="of the network, such as conv1")
    parser.add_argument("--unit", type=flags.PLACE, metavar="N", help="a channel of the layer")
    flags.add_checkpoint(parser, "; batch: of the batch (0)")
    parser.add_argument("--seed", type=flags.SEED, default=0, help="of whatever is random (0)")
    parser.add_argument(
        "images", nargs="*", type=flags.path, metavar="IMAGE", help="else some of the test set"
    )
    flags.add_overrides(parser, "--config.data.FIELD=VALUE takes other data")


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Print the files that were written."""
    from cnn_jax import inspection

    inspection.check(arguments.what)
    if arguments.what == "batch":
        print(_batch(arguments, overrides))
        return 0
    if arguments.workdir is None or arguments.config is not None:
        raise BadInputError(f"--what={arguments.what} takes --workdir=DIR of a run")
    subject = inspection.open_run(
        arguments.workdir,
        arguments.images,
        step=arguments.step,
        ema=arguments.ema,
        layer=arguments.layer,
        unit=arguments.unit,
        seed=arguments.seed,
        overrides=overrides,
    )
    for file in inspection.inspect(subject, arguments.what, arguments.out):
        print(file)
    return 0


def _batch(arguments: argparse.Namespace, overrides: list[str]) -> Path:
    from cnn_jax.inspection import batch_grid
    from cnn_jax.runs import experiment, workdir

    if (arguments.workdir is None) == (arguments.config is None):
        raise BadInputError("--what=batch takes --workdir=DIR of a run or --config=FILE.py")
    if arguments.images:
        raise BadInputError(f"--what=batch takes no image files, such as {arguments.images[0]!r}")
    if arguments.ema or isinstance(arguments.step, str):
        what = "--ema" if arguments.ema else f"--step={arguments.step}"
        raise BadInputError(f"{what} chooses a network's weights; a batch is of none")
    if arguments.config is not None:
        config = experiment.load_config(arguments.config, overrides)
    else:
        held = workdir.read_config(Path(arguments.workdir))
        if held is None:
            raise BadInputError(f"--workdir: {arguments.workdir!r} holds no run")
        config = experiment.complete(held, overrides)
    return batch_grid.draw(experiment.assemble(config), arguments.out, arguments.step or 0)
