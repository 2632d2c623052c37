"""Runs a study's cells as SLURM jobs, through submitit where it is installed.

A job is what a worker process is elsewhere. The study's command stays and watches: progress comes
from the cells' files. Which job works on a cell is noted in its folder, so that a command that was
killed finds its jobs again instead of submitting others.
"""

import collections
import contextlib
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from cnn_jax.ablation import cells, worker
from cnn_jax.ablation.progress import REFRESH, Progress, Unit, shown, units_to_do
from cnn_jax.ablation.stored import Plan
from cnn_jax.registry import imports
from cnn_jax.runtime import json_file
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.runtime.json_file import UnreadableFileError
from cnn_jax.train.stopping import StoppedError, signals

JOB, JOBS, SLURM = "job.json", "jobs", "slurm"
LEAVE = 60.0  # seconds that cancelled jobs have to save


class Job(TypedDict):
    """SLURM's number of a job, and submitit's folder for it."""

    id: str
    folder: str


class Work:
    """What a job does: train the cells in some folders, together.

    ``imports`` are the plug-ins that they need.
    """

    def __init__(self, imports: Sequence[str] = ()):
        self.imports = list(imports)

    def __call__(self, folders: Sequence[str]) -> list[str]:
        """Return how the cells ended."""
        worker.prepare(self.imports)
        return cells.run([Path(folder) for folder in folders])

    def checkpoint(self, folders: Sequence[str]) -> Any:
        """Return what submitit queues again when the job's time is up: the cells go on."""
        return _submitit().helpers.DelayedSubmission(self, folders)


def options(text: str) -> dict[str, Any]:
    """Return submitit's parameters from ``name=value,...``; whole numbers as such.

    Raises ``BadInputError`` where they are none, and where no job can be submitted from here.
    """
    _submitit()
    found: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        name, equals, value = part.partition("=")
        if not name or not equals:
            raise BadInputError(f"--slurm: {part!r} is not NAME=VALUE")
        found[name] = int(value) if value.isdecimal() else value
    if found.setdefault("cluster", SLURM) == SLURM and shutil.which("sbatch") is None:
        raise BadInputError("--slurm: there is no sbatch here; give the command on a login node")
    return found


def run_cells(
    folder: Path, plan: Plan, parameters: Mapping[str, Any], *, retry: bool = False
) -> None:
    """Train every cell that is not finished, each in a job.

    Args:
        folder: of the study, which all nodes see.
        plan: its cells.
        parameters: of submitit's executor, and its ``cluster``.
        retry: whether cells that failed before are tried again; they are left otherwise.

    Raises:
        BadInputError: submitit does not know a parameter.
        StoppedError: after SIGTERM or SIGINT, once the jobs are cancelled.
    """
    submitit = _submitit()
    try:
        executor = submitit.AutoExecutor(folder / JOBS / "%j", cluster=parameters["cluster"])
        own = {name: value for name, value in parameters.items() if name != "cluster"}
        executor.update_parameters(name=plan.name, **own)
    except Exception as error:  # of several kinds, for wrong parameters
        raise BadInputError(f"--slurm: {str(error).splitlines()[0]}") from None
    todo = collections.deque(units_to_do(folder, plan, retry=retry))
    if not todo:
        return
    now = Progress(sum(map(len, todo)), todo)
    with signals() as received, shown(folder, now):
        jobs = {unit: _found(folder, unit, submitit) for unit in todo}
        lacking = [unit for unit, job in jobs.items() if job is None]
        with executor.batch(allow_implicit_submissions=True):
            for unit in lacking:
                places = [str(cells.folder_of(folder, cell).resolve()) for cell in unit]
                jobs[unit] = executor.submit(Work(imports()), places)
        for unit in lacking:
            note = {"id": jobs[unit].job_id, "folder": str(jobs[unit].paths.folder)}
            json_file.write(cells.folder_of(folder, unit[0]) / JOB, note)
        while jobs and not received:
            time.sleep(REFRESH)
            for unit, job in list(jobs.items()):
                _look(folder, unit, job, now)
                if unit[0].folder in now.ended:
                    del jobs[unit]
        for job in jobs.values():
            with contextlib.suppress(Exception):  # it may have ended by now
                job.cancel(check=False)
        until = time.monotonic() + LEAVE
        while any(not job.done() for job in jobs.values()) and time.monotonic() < until:
            time.sleep(REFRESH)
    if received:
        raise StoppedError(received[0])


def _look(folder: Path, unit: Unit, job: Any, now: Progress) -> None:
    """Move a job's cells to where they are now."""
    places = [cells.folder_of(folder, cell) for cell in unit]
    # SLURM makes the log when the job starts; what it says of the state may be a minute old.
    if unit in now.waiting and (job.done() or job.paths.stdout.exists()):
        now.waiting.remove(unit)
        now.start(unit)
    if not job.done():
        return
    if job.exception() is None:
        ends = job.result()
    else:  # killed, out of memory, out of time
        state = f"job {job.job_id} ended in state {job.state}"
        ends = cells.note_end(places, f"{state}; its log is {job.paths.stderr}")
    (places[0] / JOB).unlink(missing_ok=True)
    now.end(unit, ends)


def _found(folder: Path, unit: Unit, submitit: Any) -> Any:
    """Return the job that an earlier command submitted for the cells and that is not over."""
    try:
        kept = json_file.read(
            cells.folder_of(folder, unit[0]) / JOB, Job, "the note of a cell's job"
        )
    except UnreadableFileError:
        return None
    job = submitit.SlurmJob(kept["folder"], kept["id"])
    return None if job.done() else job


def _submitit() -> Any:
    try:
        import submitit
    except ImportError:
        raise BadInputError(
            "--slurm: submitit is not installed; pip install 'cnn-jax[slurm]'"
        ) from None
    return submitit
