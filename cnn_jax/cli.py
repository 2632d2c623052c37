"""The command line: flags, commands, exit statuses. No logic."""

import argparse
import json
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from cnn_jax.errors import BadInputError

BAD_INPUT = 2
STOPPED = 128  # plus the signal's number, as shells have it


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    parser = _parser()
    try:
        known, rest = parser.parse_known_args(argv)
        command: Callable[[argparse.Namespace, list[str]], int] = known.run
        return command(known, rest)
    except BadInputError as error:
        print(f"cnn-jax: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("cnn-jax: interrupted", file=sys.stderr)
        return STOPPED + signal.SIGINT


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadInputError(f"{message} (see {self.prog} --help)")


def _parser() -> argparse.ArgumentParser:
    # Abbreviations are off: --config.a.b flags must not be taken for --config.
    parser = _Parser(prog="cnn-jax", description=_first_line("cnn_jax"), allow_abbrev=False)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[argparse.Namespace, list[str]], int], text: str) -> Any:
        command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        command.set_defaults(run=run)
        return command

    train = add("train", _train, "train, evaluate and checkpoint; continue where a run stopped")
    train.add_argument("--config", required=True, metavar="FILE.py[:ARG]", help="the experiment")
    train.add_argument("--workdir", required=True, metavar="DIR", help="the run's folder")
    train.epilog = "--config.a.b=VALUE overrides a field of the config"

    evaluate = add("evaluate", _evaluate, "evaluate a run's checkpoint; print one JSON object")
    evaluate.add_argument("--workdir", required=True, metavar="DIR", help="the run's folder")
    evaluate.add_argument("--split", default="test", help="test (default), validation or train")
    evaluate.add_argument("--step", type=int, metavar="N", help="of the checkpoint; the newest")
    evaluate.epilog = "--config.data.FIELD=VALUE takes other data"
    return parser


def _first_line(module: str) -> str:
    return (sys.modules[module].__doc__ or "").strip().splitlines()[0]


def _train(arguments: argparse.Namespace, overrides: list[str]) -> int:
    from cnn_jax import experiment, run, workdir
    from cnn_jax.train.loop import StoppedError

    folder = Path(arguments.workdir)
    config = experiment.load_config(arguments.config, overrides)
    try:
        result = run.train_and_evaluate(config, folder)
    except StoppedError as error:
        print(f"cnn-jax: {error}; the state is saved in {folder}", file=sys.stderr)
        return STOPPED + error.signum
    test = result["metrics"]["test"]
    right = round(test["accuracy"] * test["examples"])
    print(f"test accuracy {test['accuracy']:.2%} ({right:,} of {test['examples']:,})")
    print(f"result {folder / workdir.RESULT}")
    print(f"curves {folder / workdir.CURVES}")
    return 0


def _evaluate(arguments: argparse.Namespace, overrides: list[str]) -> int:
    from cnn_jax import run

    measured = run.evaluate_run(
        arguments.workdir, split=arguments.split, step=arguments.step, overrides=overrides
    )
    print(json.dumps(measured))
    return 0
