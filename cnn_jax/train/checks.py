"""What no training could have: told before anything is read or compiled."""

from typing import Any

import jax

from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train.setup import Execution
from cnn_jax.train.strategies import STRATEGIES


def check_trainer(trainer: Any) -> None:
    """Raise ``BadInputError`` for arguments of a ``Trainer`` that do not go together."""
    own = trainer.step is not None
    for name in ("module", "optimizer"):
        if own == (getattr(trainer, name) is not None):
            what = "a step of one's own has its own" if own else "is missing"
            raise BadInputError(f"Trainer: {name}: {what}; give module and optimizer, or step")
    if own and trainer.state is None:
        raise BadInputError("Trainer: step needs the state that it begins with: state=...")
    for name in ("task", "ema", "stat_batch") if own else ("state",):
        if getattr(trainer, name) is not None:
            raise BadInputError(
                f"Trainer: {name} has no meaning {'with' if own else 'without'} step"
            )
    if own and trainer.accumulate != 1:
        raise BadInputError("Trainer: accumulate has no meaning with step")
    if own and trainer.execution.strategy == "pmap":
        raise BadInputError("Trainer: a step of one's own runs under jit, not pmap")
    strategy = trainer.execution.strategy
    if isinstance(strategy, str) and strategy not in STRATEGIES:
        raise BadInputError(f"Trainer: strategy is {strategy!r}; it has to be jit or pmap")
    if (trainer.mean is None) != (trainer.std is None):
        raise BadInputError("Trainer: mean and std go together; give both or neither")


def check_batch(execution: Execution, batch_size: int, parts: int, examples: int) -> None:
    """Raise ``BadInputError`` for a batch that the devices or the training part cannot have.

    Args:
        execution: how devices compute it.
        batch_size: examples per step, over all devices.
        parts: that a batch is gone through in.
        examples: to train on.
    """
    devices = jax.device_count()
    if execution.strategy == "pmap" and jax.process_count() > 1:
        raise BadInputError(
            f"train.strategy=pmap works in one process, not in {jax.process_count()}; take jit, "
            "which computes the same"
        )
    if batch_size > examples:
        raise BadInputError(
            f"data.batch_size is {batch_size}, more than the {examples} training examples; lower it"
        )
    if batch_size % (devices * parts):
        each = f"{devices} devices" + (f" x optim.accumulate {parts}" if parts > 1 else "")
        raise BadInputError(
            f"data.batch_size is {batch_size}, which {each} do not divide; "
            f"take a multiple of {devices * parts}"
        )
