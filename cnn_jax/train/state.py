"""The state of training: arrays only."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import struct

from cnn_jax.nn.calling import mode
from cnn_jax.runtime import random_keys
from cnn_jax.tasks.metrics import Sums
from cnn_jax.train.partial import Paths, merge, select

Variables = dict[str, Any]


class TrainState(struct.PyTreeNode):
    """Everything that a step reads and writes."""

    step: jax.Array  # updates done, int32
    variables: Variables  # Linen's collections: params, batch_stats, ...
    opt_state: optax.OptState  # of the parameters that are ever trained
    ema: Any  # running mean of the parameters, or an empty dict
    window: Any  # the task's sums since the last line of the log
    bad_step: jax.Array  # the first update whose loss was not finite, -1 while there is none
    # What else belongs to the averaged network, averaged alike: BatchNorm's statistics.
    ema_rest: Variables = struct.field(default_factory=dict)

    @property
    def averaged(self) -> Variables:
        """The variables of the averaged network; empty where no mean is kept."""
        return {"params": self.ema} | self.ema_rest if self.ema else {}


def init_state(
    module: nn.Module,
    optimizer: optax.GradientTransformation,
    image_shape: tuple[int, ...],
    seed: int | jax.Array,
    dtype: Any,
    *,
    window: Any = None,
    ema: bool = False,
    trained: Paths | None = None,
    given: Variables | None = None,
) -> TrainState:
    """Return the state before the first step; images are ``[H, W, C]`` of ``dtype``.

    ``window``: a task's sums over no examples; a classification's if None. ``ema``: keep a running
    mean of the variables, which starts at the initial ones. ``trained``: the paths of the
    parameters that the optimizer will see, all if None. ``given``: variables that start from these
    values instead of drawn ones.
    """
    key = random_keys.stream(seed, random_keys.Purpose.INIT)
    variables = dict(
        module.init(key, jnp.zeros((1, *image_shape), dtype), **mode(module, train=False))
    )
    if given is not None:
        variables = merge(variables, given)
    # Copies: buffers that are donated must not be shared.
    mean = jax.tree.map(jnp.copy, variables) if ema else {}
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        variables=variables,
        opt_state=optimizer.init(select(variables["params"], trained)),
        ema=mean.pop("params", {}),
        ema_rest=mean,
        window=Sums.zero(jnp.promote_types(dtype, jnp.float32)) if window is None else window,
        bad_step=jnp.full((), -1, jnp.int32),
    )
