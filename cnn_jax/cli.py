"""The command line: flags, commands, exit statuses. No logic."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from cnn_jax.errors import BadInputError
from cnn_jax.memory import tune_malloc

BAD_INPUT = 2
STOPPED = 128  # plus the signal's number, as shells have it
INTERRUPTED = STOPPED + 2  # SIGINT outside training


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    tune_malloc()  # before jax is imported: it takes effect for what is allocated from then on
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
        return INTERRUPTED


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
    together = train.add_argument_group("several processes, one run (each with its own devices)")
    together.add_argument("--coordinator", metavar="HOST:PORT", help="where process 0 listens")
    together.add_argument("--processes", type=int, metavar="N", help="how many there are")
    together.add_argument("--process", type=int, metavar="I", help="which one this is, from 0")
    together.add_argument(
        "--distributed",
        action="store_true",
        help="ask the TPU pod or Kubernetes for these; SLURM and Open MPI are seen without it",
    )
    train.epilog = "--config.a.b=VALUE overrides a field of the config"

    evaluate = add("evaluate", _evaluate, "evaluate a run's checkpoint; print one JSON object")
    evaluate.add_argument("--workdir", required=True, metavar="DIR", help="the run's folder")
    evaluate.add_argument("--split", default="test", help="test (default), validation or train")
    evaluate.add_argument("--step", type=int, metavar="N", help="of the checkpoint; the newest")
    evaluate.epilog = "--config.data.FIELD=VALUE takes other data"

    prepare = add("prepare", _prepare, "download a data set, or take its files; convert it once")
    prepare.add_argument("--data", required=True, metavar="NAME", help="cifar10, folder, ...")
    prepare.add_argument("--from", dest="archives", metavar="DIR", help="archives, or images")
    prepare.add_argument("--data_dir", metavar="DIR", help="where to; the cache folder if unset")

    inspect = add("inspect", _inspect, "look inside a network, or at what it is given")
    inspect.add_argument("--workdir", metavar="DIR", help="the run's folder")
    inspect.add_argument("--config", metavar="FILE.py[:ARG]", help="batch: instead of a run")
    inspect.add_argument("--what", required=True, metavar="KIND", help="what to draw, or 'all'")
    inspect.add_argument("--out", required=True, metavar="DIR", help="where the pictures go")
    inspect.add_argument("--layer", metavar="NAME", help="of the network, such as conv1")
    inspect.add_argument("--unit", type=int, metavar="N", help="a channel of the layer")
    text = "of the checkpoint (the newest); batch: of the batch (0)"
    inspect.add_argument("--step", type=int, metavar="N", help=text)
    inspect.add_argument("--seed", type=int, default=0, help="of whatever is random (0)")
    inspect.add_argument("images", nargs="*", metavar="IMAGE", help="else some of the test set")
    inspect.epilog = "--config.data.FIELD=VALUE takes other data"

    summary = add("summary", _summary, "layer by layer: shapes, parameters, MACs, receptive field")
    summary.add_argument("--model", required=True, metavar="NAME", help="a model of the zoo")
    summary.add_argument("--input", metavar="H,W,C", help="of one image; the model's own if unset")
    summary.add_argument("--classes", type=int, default=None, metavar="N", help="outputs")
    summary.add_argument("--json", action="store_true", help="one JSON object instead of a table")

    weights = add("import-weights", _import, "make a run's folder of PyTorch weights")
    weights.add_argument("--model", required=True, metavar="NAME", help="a model of the zoo")
    weights.add_argument("--from", required=True, dest="file", metavar="FILE", help="the weights")
    weights.add_argument("--workdir", required=True, metavar="DIR", help="the run's folder")

    plan = add("plan", _plan, "compile the train step for a TPU slice: memory, FLOPs, collectives")
    plan.add_argument("--config", required=True, metavar="FILE.py[:ARG]", help="the experiment")
    plan.add_argument("--topology", required=True, help="the slice, such as v5e:2x2 or v4:2x2x1")
    plan.add_argument("--json", action="store_true", help="one JSON object instead of lines")
    plan.epilog = "--config.a.b=VALUE overrides a field of the config"

    export = add("export", _export, "write a run's network and weights as one file for jax alone")
    export.add_argument("--workdir", required=True, metavar="DIR", help="the run's folder")
    export.add_argument("--to", required=True, metavar="FILE", help="the file to write")
    export.add_argument("--step", type=int, metavar="N", help="of the checkpoint; the newest")

    predict = add("predict", _predict, "the top classes of image files, one JSON object a line")
    predict.add_argument("--workdir", required=True, metavar="DIR", help="the run's folder")
    predict.add_argument("--step", type=int, metavar="N", help="of the checkpoint; the newest")
    predict.add_argument("--top", type=int, default=5, metavar="N", help="classes shown (5)")
    predict.add_argument("--names", metavar="FILE", help="the classes' names, one a line")
    predict.add_argument("images", nargs="+", metavar="IMAGE", help="image files")
    predict.epilog = "--config.data.FIELD=VALUE takes another size or normalisation"

    search = add(
        "search-images", _search, "the images most similar to others, as a layer sees them"
    )
    search.add_argument("--workdir", required=True, metavar="DIR", help="the run's folder")
    search.add_argument("--index", required=True, metavar="FILE", help="made if there is none")
    search.add_argument("--images", metavar="DIR", help="what to index; the test set if unset")
    search.add_argument("--layer", metavar="NAME", help="whose outputs count; the last but one")
    search.add_argument("--step", type=int, metavar="N", help="of the checkpoint; the newest")
    search.add_argument("--top", type=int, default=10, metavar="N", help="neighbours (10)")
    search.add_argument("--method", default="exact", help="exact (default) or faiss")
    search.add_argument("--measure", action="store_true", help="print the precision of the search")
    search.add_argument("--sheet", metavar="FILE.png", help="draw queries with their neighbours")
    search.add_argument("queries", nargs="*", metavar="IMAGE", help="image files")
    search.epilog = "--config.data.FIELD=VALUE takes other data"
    return parser


def _no_more(rest: Sequence[str]) -> None:
    if rest:
        raise BadInputError(f"unknown argument {rest[0]!r} (see cnn-jax COMMAND --help)")


def _first_line(module: str) -> str:
    return (sys.modules[module].__doc__ or "").strip().splitlines()[0]


def _train(arguments: argparse.Namespace, overrides: list[str]) -> int:
    from cnn_jax import distributed, experiment, run, workdir
    from cnn_jax.train.loop import StoppedError

    distributed.start(
        arguments.coordinator,
        arguments.processes,
        arguments.process,
        detect=arguments.distributed,
    )
    _keep_compiled()
    folder = Path(arguments.workdir)
    config = experiment.load_config(arguments.config, overrides)
    try:
        result = run.train_and_evaluate(config, folder)
    except StoppedError as error:
        if distributed.is_first():
            print(f"cnn-jax: {error}; the state is saved in {folder}", file=sys.stderr)
        return STOPPED + error.signum
    if not distributed.is_first():
        return 0
    test = result["metrics"]["test"]
    right = round(test["accuracy"] * test["examples"])
    print(f"test accuracy {test['accuracy']:.2%} ({right:,} of {test['examples']:,})")
    print(f"result {folder / workdir.RESULT}")
    print(f"curves {folder / workdir.CURVES}")
    return 0


def _prepare(arguments: argparse.Namespace, rest: list[str]) -> int:
    _no_more(rest)
    from cnn_jax.data import reading, sources

    folder = sources.prepare_source(
        arguments.data, archives=arguments.archives, directory=arguments.data_dir
    )
    print(json.dumps({"data": arguments.data, "dir": str(folder)} | reading.contents(folder)))
    return 0


def _inspect(arguments: argparse.Namespace, overrides: list[str]) -> int:
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
        layer=arguments.layer,
        unit=arguments.unit,
        seed=arguments.seed,
        overrides=overrides,
    )
    for file in inspection.inspect(subject, arguments.what, arguments.out):
        print(file)
    return 0


def _batch(arguments: argparse.Namespace, overrides: list[str]) -> Path:
    from cnn_jax import batch_grid, experiment, workdir

    if (arguments.workdir is None) == (arguments.config is None):
        raise BadInputError("--what=batch takes --workdir=DIR of a run or --config=FILE.py")
    if arguments.config is not None:
        config = experiment.load_config(arguments.config, overrides)
    else:
        held = workdir.read_config(Path(arguments.workdir))
        if held is None:
            raise BadInputError(f"--workdir: {arguments.workdir!r} holds no run")
        config = experiment.complete(held, overrides)
    return batch_grid.draw(experiment.assemble(config), arguments.out, arguments.step or 0)


def _summary(arguments: argparse.Namespace, rest: list[str]) -> int:
    _no_more(rest)
    from rich.console import Console

    from cnn_jax import models
    from cnn_jax.analysis import summarize
    from cnn_jax.analysis.table import summary_table

    shape = models.image_shape(arguments.model)
    if arguments.input is not None:
        try:
            shape = tuple(int(size) for size in arguments.input.split(","))
        except ValueError:
            raise BadInputError(
                f"--input is H,W,C, such as 224,224,3, not {arguments.input!r}"
            ) from None
    classes = arguments.classes
    if classes is None:
        classes = 1000 if min(shape[:2], default=0) > 32 else 10
    summary = summarize(models.create(arguments.model, num_classes=classes), shape)
    if arguments.json:
        print(summary.to_json())
    else:
        Console(width=None if sys.stdout.isatty() else 120).print(summary_table(summary))
    return 0


def _import(arguments: argparse.Namespace, rest: list[str]) -> int:
    _no_more(rest)
    from cnn_jax.imported import import_run
    from cnn_jax.transfer import import_report

    made = import_run(arguments.model, arguments.file, arguments.workdir)
    print(json.dumps(made | {"workdir": arguments.workdir}))
    try:
        rows = import_report(arguments.model, arguments.file)
    except BadInputError as error:
        print(f"not compared layer by layer: {error}", file=sys.stderr)
        return 0
    print(f"{'layer':<40} {'largest difference':>18} {'largest value':>14}", file=sys.stderr)
    for row in rows:
        print(
            f"{row.path or 'logits':<40} {row.difference:>18.3g} {row.largest:>14.3g}",
            file=sys.stderr,
        )
    return 0


def _keep_compiled() -> None:
    from cnn_jax.data.cache import cache_dir
    from cnn_jax.train.compilation import keep_compiled

    keep_compiled(cache_dir() / "compiled")


def _evaluate(arguments: argparse.Namespace, overrides: list[str]) -> int:
    from cnn_jax import run

    _keep_compiled()
    measured = run.evaluate_run(
        arguments.workdir, split=arguments.split, step=arguments.step, overrides=overrides
    )
    print(json.dumps(measured))
    return 0


def _plan(arguments: argparse.Namespace, overrides: list[str]) -> int:
    # Nothing runs on a device; libtpu must not look for a TPU that other programs may hold.
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    from cnn_jax import experiment
    from cnn_jax.plan import plan

    found = plan(experiment.load_config(arguments.config, overrides), arguments.topology)
    print(json.dumps(found.to_dict()) if arguments.json else "\n".join(found.lines()))
    return 0


def _export(arguments: argparse.Namespace, rest: list[str]) -> int:
    _no_more(rest)
    from cnn_jax.exported import export_run

    about = export_run(arguments.workdir, arguments.to, step=arguments.step)
    print(json.dumps({"file": arguments.to} | about))
    return 0


def _predict(arguments: argparse.Namespace, overrides: list[str]) -> int:
    from cnn_jax.predict import predict

    found = predict(
        arguments.workdir,
        arguments.images,
        step=arguments.step,
        top=arguments.top,
        names=arguments.names,
        overrides=overrides,
    )
    for line in found:
        print(json.dumps(line))
    return 0


def _search(arguments: argparse.Namespace, overrides: list[str]) -> int:
    from cnn_jax import inspection, search

    for line in search.search_images(
        inspection.open_run(
            arguments.workdir,
            arguments.queries,
            step=arguments.step,
            overrides=overrides,
        ),
        arguments.index,
        arguments.queries,
        images=arguments.images,
        layer=arguments.layer,
        top=arguments.top,
        method=arguments.method,
        measured=arguments.measure,
        sheet=arguments.sheet,
    ):
        print(json.dumps(line))
    return 0
