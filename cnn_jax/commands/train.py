"""``train``."""

import argparse
import sys
from pathlib import Path
from typing import Any

from cnn_jax.commands import flags

HELP = "train, evaluate and checkpoint; continue where a run stopped"
KEPT = "what is saved stays whole: the same command continues from it"
LESS_MEMORY = "lower data.batch_size or data.image_size, or raise optim.accumulate"
STOPPED = 128  # plus the signal's number, as shells have it


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Add the command's flags."""
    flags.add_config(parser)
    flags.add_overrides(parser, flags.ANY_FIELD)
    flags.add_workdir(parser)
    parser.add_argument(
        "--extend",
        action="store_true",
        help="let the run in the folder go on to more steps, which its schedule must not look at",
    )
    together = parser.add_argument_group("several processes, one run (each with its own devices)")
    together.add_argument("--coordinator", metavar="HOST:PORT", help="where process 0 listens")
    together.add_argument("--processes", type=flags.COUNT, metavar="N", help="how many there are")
    together.add_argument(
        "--process", type=flags.PLACE, metavar="I", help="which one this is, from 0"
    )
    together.add_argument(
        "--distributed",
        action="store_true",
        help="ask the TPU pod or Kubernetes for these; SLURM and Open MPI are seen without it",
    )


def run(arguments: argparse.Namespace, overrides: list[str]) -> int:
    """Train, and print the test accuracy and where the result is."""
    from cnn_jax.data.sources.folder import TEST_PART
    from cnn_jax.runs import experiment, workdir
    from cnn_jax.runs.run import train_and_evaluate
    from cnn_jax.runtime import distributed
    from cnn_jax.train import compilation
    from cnn_jax.train.folder import CURVES
    from cnn_jax.train.stopping import StoppedError

    distributed.start(
        arguments.coordinator,
        arguments.processes,
        arguments.process,
        detect=arguments.distributed,
    )
    compilation.keep_compiled_in_cache()
    folder = Path(arguments.workdir)
    config = experiment.load_config(arguments.config, overrides)
    try:
        result = train_and_evaluate(config, folder, extend=arguments.extend)
    except StoppedError as error:
        if distributed.is_first():
            print(f"cnn-jax: {error}; the state is saved in {folder}", file=sys.stderr)
        return STOPPED + error.signum
    if not distributed.is_first():
        return 0
    test = result["metrics"]["test"]
    if test.get("accuracy") is None:
        print(f"test loss {test['loss']} ({test['examples']:,} examples)")
    else:
        right = round(test["accuracy"] * test["examples"])
        print(f"test accuracy {test['accuracy']:.2%} ({right:,} of {test['examples']:,})")
    for line in result.get("notes", ()):
        if TEST_PART in line:  # the score is of what the set's user may not expect
            print(line)
    if opened := result.get("test_openings"):
        before = ", ".join(_told(each) for each in opened[:-1])
        print(f"the test set was opened {len(opened)} times; before: {before}")
    print(f"result {folder / workdir.RESULT}")
    print(f"curves {folder / CURVES}")
    return 0


def _told(opening: dict[str, Any]) -> str:
    """Return what the test set said of a shorter run, in words."""
    accuracy = opening.get("accuracy")
    said = f"loss {opening['loss']}" if accuracy is None else f"accuracy {accuracy:.2%}"
    return f"{said} after {opening['step']} steps"
