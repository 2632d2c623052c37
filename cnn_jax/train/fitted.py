"""What training hands back."""

import dataclasses
from typing import Any

import numpy as np

from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train.own_step import OwnState
from cnn_jax.train.state import Variables


@dataclasses.dataclass(kw_only=True)
class Fitted:
    """A network that was trained.

    Attributes:
        state: after the last step; of a step of one's own, the state that it keeps.
        history: the lines of the log: ``step``, ``split``, then metrics by name.
        metrics: of the trained network by split, ``train`` being a clean pass over it; empty where
            the run was stopped or has a step of its own.
        predictions: of the test part's examples, ``[N]``; None where there is none.
        steps: that were made, by this process and earlier ones.
        batch_size: examples per step.
        seconds: that they took.
        seconds_by_use: of this process.
        images_per_second: of this process, compiling and evaluating left out.
        stopped: the signal that ended it before its last step; None if none did.
        devices: what computed it.
        record: what is special about how.
    """

    state: Any
    history: list[dict[str, Any]]
    metrics: dict[str, dict[str, Any]]
    predictions: np.ndarray | None
    steps: int
    batch_size: int
    seconds: float
    seconds_by_use: dict[str, float]
    images_per_second: float | None
    stopped: int | None
    devices: list[str]
    record: dict[str, Any]

    @property
    def variables(self) -> Variables:
        """The network's variables, as ``module.apply`` takes them."""
        return _network(self.state).variables

    @property
    def averaged(self) -> Variables:
        """The variables of the averaged network; empty where no running mean is kept."""
        return _network(self.state).averaged


def _network(state: Any) -> Any:
    if isinstance(state, OwnState):
        raise BadInputError("the run has a step of its own; what it trained is in its state.own")
    return state
