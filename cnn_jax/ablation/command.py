"""What ``python experiments/NAME.py`` does: flags, exit statuses."""

import argparse
import dataclasses
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NoReturn

from cnn_jax.ablation.stored import PLAN, Plan
from cnn_jax.ablation.study import Study
from cnn_jax.registry import IMPORT, import_plugins
from cnn_jax.runs import workdir
from cnn_jax.runtime import exit_status
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.runtime.json_file import UnreadableFileError

PRESETS = ("smoke", "short", "paper")
FAILURES, STOPPED = 1, 128
# On a CPU lanes are slower: 5 seeds of LeNet-5 took 36 CPU seconds in lanes, 25 one after the other
# (experiments/benchmarks/seeds.py). On other devices nobody has measured them yet.
LANES = 1
LANES_HELP = "seeds of an arm that one program trains together (vmap)"
SEEDS_HELP = "other than the preset's: the study is then exploratory, and its report says so"
JOBS_HELP = "cells at once; they share the cores, whose number each cell is known by"
SLURM_HELP = "run cells as SLURM jobs; OPTIONS are submitit's: slurm_partition=gpu,timeout_min=60"

# (the study's folder, (arm, seed) -> folder of a finished cell, a run's) -> files
Finish = Callable[[Path, Mapping[tuple[str, int], Path]], Sequence[Path]]
Prepare = Callable[[Study, Path, str], Study]  # (declared, folder, preset)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadInputError(f"{message} (see --help)")


def main(
    study: Callable[[str], Study],
    argv: Sequence[str] | None = None,
    *,
    prepare: Prepare | None = None,
    finish: Finish | None = None,
) -> int:
    """Run the study that ``study(preset)`` declares; return the exit status.

    ``prepare`` makes what the study starts from, such as trained networks, in its folder, and
    returns the study that uses it; it is called with the flags applied, also when continuing.
    ``finish`` draws or writes what the report has no place for, of the cells that are finished; it
    is called after the report, which it returns further files of.

    0: the report is written and every cell is in it, be it as one that diverged; 1: it is written
    and cells failed; 2: bad input; 128 and the signal's number: stopped, to be continued by the
    same command.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    return exit_status.guarded(
        Path(sys.argv[0]).name,
        lambda: _run(study, arguments, prepare, finish),
        kept=lambda: "the same command goes on with the cells that are missing",
        owned=argv is None,
    )


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(prog=Path(sys.argv[0]).name, allow_abbrev=False)
    parser.add_argument(
        "--workdir",
        required=True,
        type=os.path.expanduser,
        metavar="DIR",
        help="the study's folder",
    )
    parser.add_argument("--preset", choices=PRESETS, help=f"how much of it; {PRESETS[0]}")
    parser.add_argument("--seeds", type=int, metavar="N", help=SEEDS_HELP)
    parser.add_argument("--data", metavar="NAME", help="a source of data; the preset's own")
    parser.add_argument("--data_dir", type=os.path.expanduser, metavar="DIR", help="where it is")
    parser.add_argument("--jobs", type=int, metavar="N", help=JOBS_HELP)
    parser.add_argument("--lanes", type=int, default=LANES, metavar="N", help=LANES_HELP)
    parser.add_argument("--slurm", nargs="?", const="", metavar="OPTIONS", help=SLURM_HELP)
    parser.add_argument("--retry", action="store_true", help="try failed cells again")
    parser.add_argument("--plan_only", action="store_true", help="prove and count; train nothing")
    parser.add_argument("--report_only", action="store_true", help="render stored cells again")
    parser.add_argument("--import", **IMPORT)
    flags = parser.parse_args(arguments)
    for name in ("jobs", "lanes"):
        value = getattr(flags, name)
        if value is not None and value < 1:
            raise BadInputError(f"--{name}={value}: at least 1")
    return flags


def _run(
    study: Callable[[str], Study],
    arguments: list[str],
    prepare: Prepare | None,
    finish: Finish | None,
) -> int:
    flags = _parse(arguments)
    import_plugins(flags.imports)
    folder = Path(flags.workdir)
    if flags.report_only:
        return _report_again(study, folder, flags.preset, finish)

    from cnn_jax.ablation import plan as plans
    from cnn_jax.ablation import stages, tuning
    from cnn_jax.train.stopping import StoppedError

    run = _runner(flags)
    preset = flags.preset or PRESETS[0]
    declared = _declared(study, preset)
    exploratory = _exploratory(declared, flags)
    held = _held(folder, needed=flags.plan_only)
    if held is not None:
        _check_same(folder, held, declared.name, preset)
    declared = _with_flags(declared, flags)
    if prepare is not None:
        workdir.check_writable(folder)
        declared = prepare(declared, folder, preset)
    _leave_accelerator(declared)
    command = f"python {shlex.join([sys.argv[0], *arguments])}"
    work_out = partial(
        *(plans.work_out, declared, folder),
        preset=preset,
        command=command,
        lanes=flags.lanes,
        threads=_threads(flags),
        exploratory=exploratory,
    )
    plan = work_out()
    if declared.tune:
        tuning.check(plan)
    if flags.plan_only:
        return _show(plan, held, folder)
    try:
        stages.train(plan, folder, run, work_out)
    except StoppedError as error:
        print(f"{error}; the same command goes on from here", file=sys.stderr)
        return STOPPED + error.signum
    return _report(folder, finish)


def _declared(study: Callable[[str], Study], preset: str) -> Study:
    """Return what ``study(preset)`` declares; a misspelt field of it is one line."""
    try:
        declared = study(preset)
    except TypeError as error:
        if "unexpected keyword argument" not in str(error):
            raise
        raise BadInputError(f"the study's declaration: {error}") from error
    if not isinstance(declared, Study):
        raise BadInputError(f"study({preset!r}) returned {declared!r:.60}; it returns a Study")
    return declared


def _report_again(
    study: Callable[[str], Study], folder: Path, preset: str | None, finish: Finish | None
) -> int:
    """Render the cells that a folder holds; return the exit status."""
    held = Plan.read(folder)
    preset = preset or held.preset
    name = _declared(study, preset if preset in PRESETS else PRESETS[0]).name
    _check_same(folder, held, name, preset)
    return _report(folder, finish)


def _threads(flags: argparse.Namespace) -> int | None:
    """Return how many of the processor's threads compute a cell; None if a cluster decides."""
    from cnn_jax.ablation import runner, worker

    if flags.slurm is not None:
        return None
    return worker.threads(flags.jobs or runner.default_jobs())


def _runner(flags: argparse.Namespace) -> Callable[[Path, Plan], None]:
    """Return what runs a plan's cells in a folder: processes of this machine, or SLURM jobs."""
    from cnn_jax.ablation import runner, slurm

    parameters = None if flags.slurm is None else slurm.options(flags.slurm)

    def run(folder: Path, plan: Plan) -> None:
        if parameters is None:
            jobs = flags.jobs or runner.default_jobs()
            runner.run_cells(folder, plan, jobs=jobs, retry=flags.retry)
        else:
            slurm.run_cells(folder, plan, parameters, retry=flags.retry)

    return run


def _with_flags(declared: Study, flags: argparse.Namespace) -> Study:
    """Return a study with the seeds and the data that the command line names."""
    if flags.seeds not in (None, declared.seeds):
        declared = dataclasses.replace(declared, seeds=flags.seeds, looks=())
    if flags.data is not None:
        declared.base.data.name, declared.base.data.dir = flags.data, None
    if flags.data_dir is not None:
        declared.base.data.dir = flags.data_dir
    return declared


def _exploratory(declared: Study, flags: argparse.Namespace) -> str:
    """Return why what is run is not what was declared; empty where it is."""
    if flags.seeds in (None, declared.seeds):
        return ""
    looks = f" with looks after {', '.join(map(str, declared.looks))}" if declared.looks else ""
    return f"{flags.seeds} seeds, where {declared.seeds} are declared{looks}"


def _leave_accelerator(declared: Study) -> None:
    """Work the study out on the CPU, unless a step is measured.

    Counting needs no accelerator, whose memory is the workers'. They are processes of their own
    and do not see this.
    """
    import jax

    if not any(arm.match and arm.match.budget == "step_time" for arm in declared.arms):
        jax.config.update("jax_platforms", "cpu")


def _show(plan: Plan, held: Plan | None, folder: Path) -> int:
    """Print a plan, and keep it unless cells of another one are there; return the exit status."""
    from cnn_jax.ablation import registration
    from cnn_jax.ablation.report import describe_plan

    if held is None or not registration.begun(folder):
        plan.write(folder)
    elif not registration.is_registered(folder, plan):
        line = f"{folder}: the plan of the cells that are there is kept; this one was not: a run "
        line += "makes it an amendment"
        print(line, file=sys.stderr)
    print(describe_plan(plan))
    return 0


def _held(folder: Path, *, needed: bool) -> Plan | None:
    """Return the plan that a folder holds, or None; one that is damaged is made anew by a run.

    ``needed``: a damaged one is an error.
    """
    if not (folder / PLAN).exists():
        return None
    try:
        return Plan.read(folder)
    except UnreadableFileError as error:
        if needed:
            raise
        print(f"{error}; it is made anew", file=sys.stderr)
        return None


def _check_same(folder: Path, held: Plan, name: str, preset: str) -> None:
    """Check that a folder holds the study that is asked for, so that nothing of it is replaced."""
    if (held.name, held.preset) != (name, preset):
        raise BadInputError(
            f"--workdir: {str(folder)!r} holds study {held.name!r}, preset {held.preset}, not "
            f"{name!r}, preset {preset}; choose another folder"
        )


def _report(folder: Path, finish: Finish | None) -> int:
    from cnn_jax.ablation import cells
    from cnn_jax.ablation.report import write_report

    written = write_report(folder)
    runs = {(c.arm, c.seed): cells.folder_of(folder, c) for c in Plan.read(folder).cells}
    done = {cell: run for cell, run in runs.items() if cells.state(run) == cells.DONE}
    for file in finish(folder, done) if finish is not None and done else ():
        print(f"picture {file}")
    for line in written.verdicts:
        print(line)
    print(f"report {written.file}")
    for line in written.failures:
        print(line, file=sys.stderr)
    return FAILURES if written.failures else 0
