"""Which part of a step's batch is at hand: what BatchNorm and Dropout have to know of it.

A step may see its batch in parts: on several devices, each running the same program (``pmap``),
or one after the other (gradient accumulation). Layers must not depend on that, so the step says
here how its batch is cut while it is traced, and what it trains; outside of ``cut`` a batch is
whole and everything trains.

A layer from elsewhere that goes by ``current()``, or draws by ``example_keys``, says so by a class
attribute, ``reads_context = True``: others that keep statistics or draw random numbers are refused
with the options that they would ignore.
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from contextvars import ContextVar

import jax
import jax.numpy as jnp

ESTIMATES = "estimates"  # BatchNorm's statistics of one batch: mean and var by module


@dataclasses.dataclass(frozen=True)
class Cut:
    """How the batch at hand lies in the step's batch."""

    positions: jax.Array | None = None  # int32 [n], of its examples; 0 ... n - 1 if None
    stat_batch: int | None = None  # examples that share BatchNorm's statistics; all if None
    axis: str | None = None  # of the devices that hold the other parts; None where there are none
    trained: frozenset[tuple[str, ...]] | None = None  # paths of parameters that train; all if None
    # Inference, but BatchNorm normalises by the batch and leaves its mean and variance in the
    # collection ESTIMATES.
    estimates: bool = False

    def freezes(self, module: tuple[str, ...], parameters: tuple[str, ...]) -> bool:
        """Return whether none of a module's own ``parameters`` is trained."""
        if self.trained is None:
            return False
        return not any((*module, name) in self.trained for name in parameters)


_current: ContextVar[Cut] = ContextVar("cut", default=Cut())  # noqa: B039, it is frozen


@contextlib.contextmanager
def cut(how: Cut) -> Iterator[None]:
    """Trace what is inside for a batch that is cut in this way."""
    token = _current.set(how)
    try:
        yield
    finally:
        _current.reset(token)


def current() -> Cut:
    """Return how the batch at hand is cut."""
    return _current.get()


def example_keys(key: jax.Array, count: int) -> jax.Array:
    """Return a key ``[count]`` for each example at hand, by its place in the step's batch.

    So what is drawn of them does not depend on how the batch is cut.
    """
    positions = current().positions
    if positions is None:
        positions = jnp.arange(count, dtype=jnp.int32)
    return jax.vmap(jax.random.fold_in, (None, 0))(key, positions)
