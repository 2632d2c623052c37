"""Cells on disk: their state, what they measured, and running one."""

import contextlib
import dataclasses
import fcntl
import json
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cnn_jax import workdir
from cnn_jax.ablation.plan import CELLS, Cell, Plan, cell_config, read_config
from cnn_jax.config import to_json
from cnn_jax.errors import BadInputError
from cnn_jax.train.logging import TEST, read_metrics

REQUEST, FAILURE, LOG, LOCK = "cell.json", "failed.json", "log.txt", ".lock"
GRADIENTS = "gradients.json"
DONE, FAILED, WAITING = "done", "failed", "waiting"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a finished cell measured.

    Attributes:
        result: of result.json.
        right: bool ``[N]``, which test examples the network gets right.
        opened: how often the test set was evaluated, by the cell's own log.
        curve: the lines of metrics.jsonl.
    """

    result: dict[str, Any]
    right: np.ndarray
    opened: int
    curve: list[dict[str, Any]]


def place(folder: Path, cell: Cell) -> Path:
    """Return where a cell of the study in ``folder`` lives."""
    return folder / CELLS / cell.folder


def state(folder: Path) -> str:
    """Return whether a cell is done, failed or waiting (which it also is while it runs)."""
    if (folder / workdir.RESULT).exists() and not _owes_gradients(folder):
        return DONE
    return FAILED if (folder / FAILURE).exists() else WAITING


def _owes_gradients(folder: Path) -> bool:
    try:
        wanted = json.loads((folder / REQUEST).read_text())["gradients"]
    except OSError:
        return False
    return wanted and not (folder / GRADIENTS).exists()


def request(folder: Path, plan: Plan, cell: Cell) -> Path:
    """Write down what is to be run; return the cell's folder."""
    own = place(folder, cell)
    own.mkdir(parents=True, exist_ok=True)
    wanted = {"config": to_json(cell_config(plan, cell)), "gradients": plan.gradients}
    wanted |= {"lanes": cell.lanes, "sealed": plan.sealed}
    workdir.write(own / REQUEST, json.dumps(wanted))
    return own


def run(folders: Sequence[Path]) -> list[str]:
    """Train the cells that were requested in ``folders``, together; return how they ended.

    Continues where an earlier process stopped, waits for one that still works in a folder. A
    failure is kept in failed.json; a signal raises ``StoppedError``.
    """
    from cnn_jax.ablation import gradients
    from cnn_jax.lanes import train_lanes
    from cnn_jax.run import train_and_evaluate
    from cnn_jax.train.loop import StoppedError

    def train(wanted: Sequence[dict[str, Any]]) -> Sequence[Any]:
        made = [read_config(each["config"]) for each in wanted]
        seeds = wanted[0]["lanes"]
        if seeds:
            runs = {
                seeds.index(config.seed): (config, folder)
                for config, folder in zip(made, folders, strict=True)
            }
            return list(train_lanes(runs, len(seeds)).values())
        return [train_and_evaluate(made[0], folders[0], sealed=wanted[0]["sealed"])]

    def finish(folder: Path, wanted: dict[str, Any], ended: Any) -> str:
        try:
            if isinstance(ended, Exception):
                raise ended
            if wanted["gradients"]:
                norms = gradients.measure(folder)
                workdir.write(folder / GRADIENTS, json.dumps(norms))
        except StoppedError:
            raise
        except Exception as error:
            reason = str(error).strip() or repr(error)
            trace = "".join(traceback.format_exception(error))
            note_failure(folder, f"{type(error).__name__}: {reason}", trace)
            print(trace, file=sys.stderr)
            return FAILED
        (folder / FAILURE).unlink(missing_ok=True)
        return DONE

    with contextlib.ExitStack() as stack:
        for folder in sorted(folders):
            lock = stack.enter_context((folder / LOCK).open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)  # the system lets go of it when the process ends
        wanted = [json.loads((folder / REQUEST).read_text()) for folder in folders]
        try:
            ended = train(wanted)
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


def note_failure(folder: Path, error: str, trace: str = "") -> None:
    """Keep a failure beside the cell's files, with how often it was tried."""
    before = failure(folder)
    attempts = before["attempts"] + 1 if before else 1
    text = json.dumps({"error": error, "attempts": attempts, "trace": trace}, indent=1)
    workdir.write(folder / FAILURE, text + "\n")


def failure(folder: Path) -> dict[str, Any] | None:
    """Return the failure that is kept in a cell's folder, or None."""
    file = folder / FAILURE
    return json.loads(file.read_text()) if file.exists() else None


def outcome(folder: Path) -> Outcome | None:
    """Return what a finished cell measured, or None if it is not finished."""
    result = workdir.read_result(folder)
    if result is None:
        return None
    curve = read_metrics(folder / workdir.METRICS)
    try:
        with np.load(folder / workdir.PREDICTIONS) as kept:
            right = kept["predicted"] == kept["label"]
    except (OSError, ValueError, KeyError) as error:
        raise BadInputError(
            f"{str(folder)!r}: the cell's predictions are damaged: {error}"
        ) from None
    return Outcome(result, right, sum(line["split"] == TEST for line in curve), curve)


def progress(folder: Path) -> int:
    """Return the last step that a cell logged."""
    lines = read_metrics(folder / workdir.METRICS)
    return max((line["step"] for line in lines), default=0)
