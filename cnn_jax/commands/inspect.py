"""``inspect``."""

import argparse
from pathlib import Path

from cnn_jax.commands import completion, flags
from cnn_jax.inspection import kinds
from cnn_jax.runtime.errors import BadInputError

HELP = "look inside a network, or at what it is given"
LESS_MEMORY = "lower data.image_size (--config.data.image_size=VALUE)"


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    parser.add_argument("--workdir", type=flags.path, metavar="DIR", help="the run's folder")
    flags.add_config(parser, "; for batch, instead of a run", required=False)
    text = f"what to draw: {', '.join(kinds.KINDS)}; or {kinds.ALL}, with a page of them"
    action = parser.add_argument("--what", required=True, metavar="KIND", help=text)
    completion.complete(action, lambda: [*kinds.KINDS, kinds.ALL])
    text = "where the pictures go"
    parser.add_argument("--out", required=True, type=flags.path, metavar="DIR", help=text)
    flags.add_format(parser)
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
    kinds.check(arguments.what)
    for file in _drawn(arguments, overrides):
        print(file)
    return 0


def _drawn(arguments: argparse.Namespace, overrides: list[str]) -> list[Path]:
    """Draw what is asked for; return the files."""
    from cnn_jax import inspection

    if arguments.what == "batch":
        return _batch(arguments, overrides)
    if arguments.workdir is None or arguments.config is not None:
        raise BadInputError(f"--what={arguments.what} takes --workdir=DIR of a run")
    if arguments.what == "curves":
        return _curves(arguments, overrides)
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
    return inspection.inspect(
        subject, arguments.what, arguments.out, picture_format=arguments.format
    )


def _curves(arguments: argparse.Namespace, overrides: list[str]) -> list[Path]:
    """Draw a run's curves, for which it needs no checkpoint."""
    from cnn_jax.runs import captions, workdir

    _takes_no_images(arguments)
    if arguments.ema or arguments.step is not None:
        what = "--ema" if arguments.ema else f"--step={arguments.step}"
        raise BadInputError(f"{what} chooses a network's weights; the curves are the whole run's")
    flags.no_more(overrides)
    workdir.check_writable(out := Path(arguments.out), "--out")
    captions.draw_curves(Path(arguments.workdir), files := [out / f"curves.{arguments.format}"])
    return files


def _takes_no_images(arguments: argparse.Namespace) -> None:
    if arguments.images:
        what, file = arguments.what, arguments.images[0]
        raise BadInputError(f"--what={what} takes no image files, such as {file!r}")


def _batch(arguments: argparse.Namespace, overrides: list[str]) -> list[Path]:
    from cnn_jax.inspection import batch_grid
    from cnn_jax.inspection.destination import Destination
    from cnn_jax.runs import experiment, workdir

    if (arguments.workdir is None) == (arguments.config is None):
        raise BadInputError("--what=batch takes --workdir=DIR of a run or --config=FILE.py")
    _takes_no_images(arguments)
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
    out = Destination(Path(arguments.out), (arguments.format,))
    return batch_grid.draw(experiment.assemble(config), out, arguments.step or 0)
