"""What ``python experiments/NAME.py`` does: flags, exit statuses."""

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from cnn_jax import workdir
from cnn_jax.ablation.study import Study
from cnn_jax.errors import BadInputError

PRESETS = ("smoke", "short", "paper")
BAD_INPUT, FAILURES, STOPPED = 2, 1, 128

Prepare = Callable[[Study, Path, str], Study]  # (declared, folder, preset)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise BadInputError(f"{message} (see --help)")


def main(
    study: Callable[[str], Study],
    argv: Sequence[str] | None = None,
    *,
    prepare: Prepare | None = None,
) -> int:
    """Run the study that ``study(preset)`` declares; return the exit status.

    ``prepare`` makes what the study starts from, such as trained networks, in its folder, and
    returns the study that uses it; it is called with the flags applied, also when continuing.

    0: the report is written and every cell is in it; 1: it is written and cells failed; 2: bad
    input; 128 and the signal's number: stopped, to be continued by the same command.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(study, arguments, prepare)
    except BadInputError as error:
        print(f"{Path(sys.argv[0]).name}: {error}", file=sys.stderr)
        return BAD_INPUT


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(prog=Path(sys.argv[0]).name, allow_abbrev=False)
    parser.add_argument("--workdir", required=True, metavar="DIR", help="the study's folder")
    parser.add_argument("--preset", default="smoke", choices=PRESETS, help="how much of it")
    parser.add_argument("--seeds", type=int, metavar="N", help="the preset's unless given")
    parser.add_argument("--data", metavar="NAME", help="a source of data; the preset's own")
    parser.add_argument("--data_dir", metavar="DIR", help="where it is")
    parser.add_argument("--jobs", type=int, metavar="N", help="cells at once")
    parser.add_argument("--retry", action="store_true", help="try failed cells again")
    parser.add_argument("--plan_only", action="store_true", help="prove and count; train nothing")
    parser.add_argument("--report_only", action="store_true", help="render stored cells again")
    return parser.parse_args(arguments)


def _run(
    study: Callable[[str], Study], arguments: list[str], prepare: Prepare | None = None
) -> int:
    flags = _parse(arguments)
    folder = Path(flags.workdir)
    if flags.jobs is not None and flags.jobs < 1:
        raise BadInputError(f"--jobs={flags.jobs}: at least 1")
    if flags.report_only:
        return _report(folder)

    import jax

    from cnn_jax.ablation import runner
    from cnn_jax.ablation.plan import work_out
    from cnn_jax.train.loop import StoppedError

    declared = study(flags.preset)
    if flags.seeds is not None:
        declared = dataclasses.replace(declared, seeds=flags.seeds)
    if flags.data is not None:
        declared.base.data.name, declared.base.data.dir = flags.data, None
    if flags.data_dir is not None:
        declared.base.data.dir = flags.data_dir
    if prepare is not None:
        workdir.check_writable(folder)
        declared = prepare(declared, folder, flags.preset)
    if not any(arm.match and arm.match.budget == "step_time" for arm in declared.arms):
        # Counting needs no accelerator, whose memory is the workers'. They are processes of their
        # own and do not see this.
        jax.config.update("jax_platforms", "cpu")
    command = f"python {shlex.join([sys.argv[0], *arguments])}"
    plan = work_out(declared, folder, preset=flags.preset, command=command)
    plan.write(folder)
    if flags.plan_only:
        from cnn_jax.ablation.report import describe_plan

        print(describe_plan(plan))
        return 0
    try:
        runner.run_cells(folder, plan, jobs=flags.jobs or runner.default_jobs(), retry=flags.retry)
    except StoppedError as error:
        print(f"{error}; the same command goes on from here", file=sys.stderr)
        return STOPPED + error.signum
    return _report(folder)


def _report(folder: Path) -> int:
    from cnn_jax.ablation.report import write_report

    written = write_report(folder)
    for line in written.verdicts:
        print(line)
    print(f"report {written.file}")
    for line in written.failures:
        print(line, file=sys.stderr)
    return FAILURES if written.failures else 0
