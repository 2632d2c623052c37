"""When what happens in a run, counted in steps."""

import dataclasses

from cnn_jax.train.setup import Setup


@dataclasses.dataclass(frozen=True)
class Every:
    """Steps between events.

    Attributes:
        log: between lines of training metrics.
        evaluate: between evaluations of the validation part; an epoch if None.
        checkpoint: between checkpoints; an epoch if None.
        flow: between measurements of the gradient flow; it is not measured if None.
        profile: the steps at which a trace of the profiler starts and stops.
    """

    log: int = 100
    evaluate: int | None = None
    checkpoint: int | None = None
    flow: int | None = None
    profile: tuple[int, int] | None = None


@dataclasses.dataclass(frozen=True)
class Events:
    """Steps between events, and of the whole run."""

    total: int
    log: int
    evaluate: int
    checkpoint: int
    per_call: int  # steps per dispatch
    profile: tuple[int, int] | None = None  # steps at which a trace starts and stops
    phases: tuple[int, ...] = ()  # steps from which on another program trains
    flow: int | None = None  # steps between measurements of the gradient flow

    @classmethod
    def of(cls, every: Every, setup: Setup, epoch: int) -> "Events":
        """Return the events of a training; an epoch has ``epoch`` steps."""
        return cls(
            total=setup.total,
            log=every.log,
            evaluate=every.evaluate or epoch,
            checkpoint=every.checkpoint or epoch,
            per_call=setup.steps_per_call,
            profile=every.profile,
            phases=tuple(start for start, _ in setup.phases),
            flow=every.flow,
        )

    def any_is_due(self, step: int) -> bool:
        """Return whether something is logged, evaluated or saved after ``step`` steps."""
        return any(self.due(step, every) for every in (self.log, self.evaluate, self.checkpoint))

    def flow_is_due(self, step: int) -> bool:
        """Return whether the gradient flow is measured before the update after ``step`` others."""
        return self.flow is not None and step % self.flow == 0

    def until_next(self, step: int) -> int:
        """Return how many steps one call may run from ``step`` on without passing an event."""
        events = [self.total - step]
        events += [every - step % every for every in (self.log, self.evaluate, self.checkpoint)]
        events += [at - step for at in (*(self.profile or ()), *self.phases) if at > step]
        events += [self.flow - step % self.flow] if self.flow is not None else []
        return min(*events, self.per_call)

    def due(self, step: int, every: int) -> bool:
        """Return whether an event is due after ``step`` steps; all of them are at the end."""
        return step % every == 0 or step == self.total
