"""Gradient flow while training: how large gradients, updates and residual branches are, by block.

It is measured beside the step, by a program of its own that changes nothing: with and without it a
run has the same bits, and it costs about one step each time.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import struct

from cnn_jax.nn.branches import SHORTCUTS
from cnn_jax.nn.calling import mode
from cnn_jax.nn.norms import block_of_kernel, norms
from cnn_jax.tasks.task import Batch, Task
from cnn_jax.train.state import TrainState
from cnn_jax.train.step import make_train_step

Norms = dict[str, jax.Array]


class Flow(struct.PyTreeNode):
    """Norms at one step, by block: a direct child of the network, all its kernels together."""

    gradient: Norms
    update: Norms
    weight: Norms
    squares: Norms  # [branch, skip], sums of squares over the batch, of each residual block


def make_flow_step(
    module: Any, task: Task, optimizer: Any, *, axis: str | None = None, **how: Any
) -> Callable[[TrainState, Batch], Flow]:
    """Return the measurement, (state, batch) -> norms of the update that the step would make.

    Arguments are those of ``make_train_step``; the step is taken, and all but norms thrown away.
    """
    noted: dict[str, Norms] = {}
    step = make_train_step(module, task, _noting(optimizer, noted), axis=axis, **how)

    def flow(state: TrainState, batch: Batch) -> Flow:
        def sown(variables, image):
            names = [name for name in variables if name != "params"]
            rngs = {"dropout": jax.random.key(0)}
            asked = variables | {SHORTCUTS: {}}
            mutable = [*names, SHORTCUTS]
            training = mode(module, train=True)
            found = module.apply(asked, image, rngs=rngs, mutable=mutable, **training)
            return found[1].get(SHORTCUTS, {})

        # Zeros to add to, of the right structure, for a batch that comes in parts.
        shapes = jax.eval_shape(sown, state.variables, batch["image"])
        zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        variables = state.variables | ({SHORTCUTS: zeros} if zeros else {})
        after, _ = step(state.replace(variables=variables), batch)
        squares = {
            "/".join(entry.key for entry in path[:-1]): leaf
            for path, leaf in jax.tree_util.tree_leaves_with_path(
                after.variables.get(SHORTCUTS, {})
            )
        }
        if axis is not None:
            squares = jax.lax.psum(squares, axis)
        weights = state.variables["params"]
        return Flow(noted["gradient"], noted["update"], norms(weights, block_of_kernel), squares)

    return flow


def _noting(optimizer: Any, noted: dict[str, Norms]) -> optax.GradientTransformationExtraArgs:
    """Return the optimizer, which leaves the norms of what it was given and gave in ``noted``.

    They belong to the trace that the update is part of.
    """

    def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
        changes, state = optimizer.update(updates, state, params, **extra)
        noted["gradient"] = norms(updates, block_of_kernel)
        noted["update"] = norms(changes, block_of_kernel)
        return changes, state

    return optax.GradientTransformationExtraArgs(optimizer.init, update)


def line(flow: Flow) -> dict[str, dict[str, float | None]]:
    """Return what a line of flow.jsonl says: norms and ratios by block, None for one of zero."""
    got = jax.device_get(flow)
    return {
        "gradient": {name: float(norm) for name, norm in got.gradient.items()},
        "update_to_weight": {
            name: float(norm / got.weight[name]) if got.weight[name] else None
            for name, norm in got.update.items()
        },
        "branch_to_skip": {
            name: float((branch / skip) ** 0.5) if skip else None
            for name, (branch, skip) in got.squares.items()
        },
    }
