"""Cells on disk: their state, what they measured, and running one."""

import contextlib
import fcntl
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np

from cnn_jax.ablation import finished, kept
from cnn_jax.ablation.identity import cell_config, read_config
from cnn_jax.ablation.outcomes import Outcome
from cnn_jax.ablation.stored import CELLS, Cell, Plan
from cnn_jax.config import to_json
from cnn_jax.data.dataset import TEST
from cnn_jax.runs import workdir
from cnn_jax.runtime import json_file
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.runtime.json_file import UnreadableFileError
from cnn_jax.train.logging import read_metrics

REQUEST, FAILURE, LOG, LOCK = "cell.json", "failed.json", "log.txt", ".lock"
GRADIENTS = "gradients.json"
DONE, FAILED, WAITING = "done", "failed", "waiting"
# What a cell's numbers are read from.
FILES = (
    *(workdir.CONFIG, workdir.RESULT, workdir.METRICS, workdir.PREDICTIONS),
    *(GRADIENTS, kept.VALUES),
)


class Request(TypedDict):
    """What is to be run.

    ``cell`` is its id, ``values`` are the metrics to keep of every test example; earlier versions
    had neither.
    """

    config: str
    gradients: bool
    lanes: list[int]
    sealed: bool
    cell: NotRequired[str]
    values: NotRequired[list[str]]


class Failure(TypedDict):
    """Why a cell failed, how often it was tried, the trace; whether its loss was not finite."""

    error: str
    attempts: int
    trace: str
    diverged: NotRequired[bool]


class Norms(TypedDict):
    """The gradient norms of a cell, by block, before (``start``) and after training (``end``)."""

    start: dict[str, float | None]
    end: dict[str, float | None]


def folder_of(folder: Path, cell: Cell) -> Path:
    """Return where a cell of the study in ``folder`` lives."""
    return folder / CELLS / cell.folder


def state(folder: Path) -> str:
    """Return whether a cell is done, failed or waiting (which it also is while it runs)."""
    if (folder / workdir.RESULT).exists() and not _owes(folder):
        return DONE
    return FAILED if (folder / FAILURE).exists() else WAITING


def _owes(folder: Path) -> bool:
    """Return whether a cell that was trained has files yet to write: it was stopped there."""
    try:
        wanted = json_file.find(folder / REQUEST, Request, "a cell's request")
    except UnreadableFileError:
        return False  # told where the outcome is read
    if wanted is None:
        return False
    later = [GRADIENTS] if wanted["gradients"] else []
    later += [finished.FINISHED] if "cell" in wanted else []
    return not all((folder / name).exists() for name in later)


def request(folder: Path, plan: Plan, cell: Cell) -> Path:
    """Write down what is to be run; return the cell's folder."""
    own = folder_of(folder, cell)
    own.mkdir(parents=True, exist_ok=True)
    wanted = {"config": to_json(cell_config(plan, cell)), "gradients": plan.gradients}
    wanted |= {"lanes": cell.lanes, "sealed": plan.sealed, "cell": cell.id}
    wanted |= {"values": plan.kept}
    json_file.write(own / REQUEST, wanted)
    return own


def set_aside(folder: Path) -> Path:
    """Move a cell's folder that holds something else than what the cell left; return its place."""
    for number in range(1, 10_000):
        aside = folder.with_name(f"{folder.name}-damaged{number}")
        if not aside.exists():
            return folder.rename(aside)
    raise BadInputError(f"{str(folder)!r} was set aside too often; remove what was")


def run(folders: Sequence[Path]) -> list[str]:
    """Train the cells that were requested in ``folders``, together; return how they ended.

    Continues where an earlier process stopped, waits for one that still works in a folder. A
    failure is kept in failed.json; a signal raises ``StoppedError``.
    """
    from cnn_jax.ablation import gradients
    from cnn_jax.runs.lanes import train_lanes
    from cnn_jax.runs.run import train_and_evaluate
    from cnn_jax.train.stopping import DivergedError, StoppedError

    def train(wanted: Sequence[Request]) -> Sequence[Any]:
        made = [read_config(each["config"]) for each in wanted]
        seeds = wanted[0]["lanes"]
        if seeds:
            runs = {
                seeds.index(config.seed): (config, folder)
                for config, folder in zip(made, folders, strict=True)
            }
            return list(train_lanes(runs, len(seeds)).values())
        how = kept.keeping(folders[0], wanted[0].get("values", ()))
        return [train_and_evaluate(made[0], folders[0], sealed=wanted[0]["sealed"], strategy=how)]

    def finish(folder: Path, wanted: Request | None, ended: Any) -> str:
        try:
            if wanted is None or isinstance(ended, Exception):
                raise ended
            if wanted["gradients"]:
                json_file.write(folder / GRADIENTS, gradients.measure(folder))
            finished.write(folder, wanted.get("cell", ""), FILES)
        except StoppedError:
            raise
        except Exception as error:
            reason = str(error).strip() or repr(error)
            trace = "".join(traceback.format_exception(error))
            diverged = isinstance(error, DivergedError)
            note_failure(folder, f"{type(error).__name__}: {reason}", trace, diverged=diverged)
            print(trace, file=sys.stderr)
            return FAILED
        (folder / FAILURE).unlink(missing_ok=True)
        return DONE

    with contextlib.ExitStack() as stack:
        for folder in sorted(folders):
            lock = stack.enter_context((folder / LOCK).open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)  # the system lets go of it when the process ends
        wanted: Sequence[Request | None] = [None] * len(folders)
        try:
            wanted = read = [
                json_file.read(folder / REQUEST, Request, "a cell's request") for folder in folders
            ]
            ended = train(read)
        except StoppedError:
            raise
        except Exception as error:
            ended = [error] * len(folders)
        return [finish(*each) for each in zip(folders, wanted, ended, strict=True)]


def note_end(folders: Sequence[Path], error: str) -> list[str]:
    """Return the states of cells whose process is gone, with its end as the reason of failures."""
    for folder in folders:
        if state(folder) != DONE:
            note_failure(folder, error)
    return [state(folder) for folder in folders]


def note_failure(folder: Path, error: str, trace: str = "", *, diverged: bool = False) -> None:
    """Keep a failure beside the cell's files, with how often it was tried."""
    before = None
    with contextlib.suppress(UnreadableFileError):
        before = failure(folder)
    attempts = before["attempts"] + 1 if before else 1
    note = {"error": error, "attempts": attempts, "trace": trace, "diverged": diverged}
    json_file.write(folder / FAILURE, note)


def failure(folder: Path) -> Failure | None:
    """Return the failure that is kept in a cell's folder, or None."""
    return json_file.find(folder / FAILURE, Failure, "the note of a cell's failure")


def outcome(folder: Path, cell: Cell | None = None) -> Outcome | None:
    """Return what a finished cell measured, or None if it is not finished.

    Raises:
        UnreadableFileError: a file of it is damaged or missing, was changed since the cell ended,
            or is not ``cell``'s, where it is given.
    """
    if not (folder / workdir.RESULT).exists():
        if (folder / finished.FINISHED).exists() and not (folder / FAILURE).exists():
            raise UnreadableFileError(folder / workdir.RESULT, "is missing; the cell was finished")
        return None
    wanted = None
    if cell is not None:
        wanted = json_file.find(folder / REQUEST, Request, "a cell's request")
        # Earlier versions kept neither.
        if (wanted is not None and "cell" in wanted) or (folder / finished.FINISHED).exists():
            finished.check(folder, cell.id)
    result = workdir.read_result(folder)
    assert result is not None
    metrics = result.get("metrics")
    if not isinstance(metrics, dict):
        raise UnreadableFileError(folder / workdir.RESULT, "has no metrics")
    ran = result.get("seed"), result.get("steps")
    if cell is not None and ran != (cell.seed, cell.steps):
        own = f"seed {ran[0]} and {ran[1]} steps"
        raise UnreadableFileError(
            folder / workdir.RESULT, f"is of another cell: {own}, not {cell.seed} and {cell.steps}"
        )
    curve = read_metrics(folder / workdir.METRICS)
    opened = sum(line["split"] == TEST for line in curve)
    if TEST not in metrics:
        return Outcome(result, np.zeros(0, bool), opened, curve, np.zeros(0, np.int32))
    labels, predicted = workdir.read_predictions(folder)
    right = np.all((predicted == labels).reshape(len(labels), -1), axis=1)
    values = kept.read(folder, () if wanted is None else wanted.get("values", ()), len(right))
    found = Outcome(result, right, opened, curve, labels, values)
    accuracy = found.measured(TEST)
    if accuracy is not None and abs(accuracy * len(right) - right.sum()) > 0.5:
        raise UnreadableFileError(
            folder / workdir.PREDICTIONS, "has other predictions than result.json counts"
        )
    return found


def gradient_norms(folder: Path) -> Norms | None:
    """Return the gradient norms that a cell kept, or None."""
    return json_file.find(folder / GRADIENTS, Norms, "a cell's gradient norms")


def openings(folder: Path) -> int:
    """Return how often the test set was evaluated in a folder, as far as its log can be read."""
    try:
        return sum(line["split"] == TEST for line in read_metrics(folder / workdir.METRICS))
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def progress(folder: Path) -> int:
    """Return the last step that a cell logged; it is shown only, so damage is not told here."""
    try:
        lines = read_metrics(folder / workdir.METRICS)
        return max((int(line["step"]) for line in lines), default=0)
    except (OSError, ValueError, KeyError, TypeError):
        return 0
