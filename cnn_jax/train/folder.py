"""Where a run is written, if anywhere: its metrics and its checkpoints."""

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cnn_jax.runtime import distributed, json_file
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train import curves
from cnn_jax.train.appended import marks
from cnn_jax.train.checkpoint import Checkpoints
from cnn_jax.train.curves import Caption
from cnn_jax.train.fitted import Fitted
from cnn_jax.train.logging import RunLog, cut_back, cut_flow_back, read_metrics
from cnn_jax.train.progress import say
from cnn_jax.train.stopping import DivergedError
from cnn_jax.train.writers import Writer

METRICS, RESULT, CURVES = "metrics.jsonl", "result.json", "curves.png"
FLOW = "flow.jsonl"  # the gradient flow, where it is measured
CHECKPOINTS, PROFILE = "checkpoints", "profile"


@dataclasses.dataclass
class Record:
    """What a run writes while it is open.

    Attributes:
        state: to train from: that of the newest checkpoint, if there is one.
        step: how many updates the state has seen.
        log: of metrics and progress.
        seconds: spent by earlier processes.
        checkpoints: where states are kept; nowhere if None.
        profile: where a trace of the profiler goes; nowhere if None.
        run: what tells the run from others, for the checkpoints' notes.
    """

    state: Any
    step: int
    log: RunLog
    seconds: float = 0.0
    checkpoints: Checkpoints | None = None
    profile: Path | None = None
    run: str | None = None

    def save(self, step: int, state: Any, seconds: float, merit: float | None) -> None:
        """Start saving a state; ``merit`` is what the best one has most of, where it is known."""
        if self.checkpoints is not None:
            notes = {"seconds": seconds, "logs": self.log.marks(), "run": self.run}
            self.checkpoints.save(step, state, notes, merit)

    def check_finite(self, bad_step: int) -> None:
        """Raise ``DivergedError`` if numbers were not finite at a step, which is -1 otherwise."""
        if bad_step >= 0:
            raise DivergedError(
                f"the loss is not finite at step {bad_step} ({self._kept()}); "
                "lower optim.learning_rate"
            )

    def _kept(self) -> str:
        """Return what is kept of a run that has diverged, as words."""
        if self.checkpoints is None:
            return "nothing is kept of it"
        latest = self.checkpoints.latest()
        return "no checkpoint was made yet" if latest is None else f"checkpoint {latest} is kept"


@dataclasses.dataclass(frozen=True)
class Folder:
    """A run's folder, which is there.

    Attributes:
        path: of it.
        run: what tells the run from others; checkpoints of another one are refused.
        keep: how many of the newest checkpoints are kept, beside the best.
        writers: that metrics go to, too.
        extends: the shorter runs that this one goes on from; their checkpoints are taken.
    """

    path: Path
    run: str
    keep: int = 1
    writers: Sequence[Writer] = ()
    extends: Sequence[str] = ()

    @contextlib.contextmanager
    def opened(self, begin: Any, *, total: int, batch_size: int) -> Iterator[Record]:
        """Yield what a run of ``total`` steps writes, from its newest checkpoint or ``begin`` on.

        Raises:
            BadInputError: the folder holds checkpoints of another run, or only damaged ones.
        """
        first = distributed.is_first()
        with Checkpoints(self.path / CHECKPOINTS, keep=self.keep) as kept:
            step, state, notes = kept.restore(begin) or (0, begin, {})
            if notes.get("run", self.run) not in (self.run, *self.extends):
                raise BadInputError(
                    f"--workdir: {str(self.path)!r} holds checkpoints of another run than its "
                    "config.json; choose another folder"
                )
            if first and notes:
                say(f"continuing at step {step} of {total}")
            if first:
                cut_logs_back(self.path, step, notes.get("logs", {}))
            with (
                distributed.ends_with_the_others(),
                RunLog(
                    self.path / METRICS,
                    flow_file=self.path / FLOW,
                    step=step,
                    total=total,
                    batch_size=batch_size,
                    writers=self.writers,
                    silent=not first,
                    noted=notes.get("logs"),
                ) as log,
            ):
                seconds, profile = notes.get("seconds", 0.0), self.path / PROFILE
                yield Record(state, step, log, seconds, kept, profile, self.run)

    def measured(self) -> dict[str, dict[str, Any]] | None:
        """Return the metrics of a run that was finished before, where it may be opened again."""
        return None

    def end(self, found: Fitted, record: Record, examples: int) -> Fitted:
        """Return what was trained on so many examples, with the log's lines of all processes."""
        del record, examples
        found.history = read_metrics(self.path / METRICS)
        return found

    def finish(self, result: dict[str, Any], about: Caption) -> dict[str, Any]:
        """Write a finished run's result and its curves; return the result as it is written."""
        if not distributed.is_first():
            return json_file.sealed(result)
        about = dataclasses.replace(about, epoch=steps_an_epoch(result))
        curves.draw(read_metrics(self.path / METRICS), [self.path / CURVES], about)
        return json_file.write(self.path / RESULT, result)


def steps_an_epoch(result: Mapping[str, Any]) -> float | None:
    """Return how many steps an epoch of a run had, by its result; None where it had none."""
    return result["steps"] / result["epochs"] if result.get("epochs") else None


class Nowhere:
    """In place of a folder: nothing is written."""

    @contextlib.contextmanager
    def opened(self, begin: Any, *, total: int, batch_size: int) -> Iterator[Record]:
        """Yield what keeps a run's log in memory."""
        with RunLog(None, step=0, total=total, batch_size=batch_size) as log:
            yield Record(begin, 0, log)

    def measured(self) -> None:
        """Return that no run was finished before."""

    def end(self, found: Fitted, record: Record, examples: int) -> Fitted:
        """Return what was trained, with the log's lines."""
        del examples
        found.history = record.log.lines
        return found


def cut_logs_back(folder: Path, step: int, noted: Mapping[str, Any]) -> None:
    """Drop the lines that a run resumed at ``step`` writes again; say what else of them is gone.

    ``noted`` is what its checkpoint says of the files, by name.
    """
    for name, cut in ((METRICS, cut_back), (FLOW, cut_flow_back)):
        if wrong := cut(folder / name, step, marks(noted.get(name))):
            say(f"{str(folder / name)!r} was damaged: {wrong}")
