"""The steps: pure functions of (state, batch)."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import traverse_util

from cnn_jax.nn.context import Cut, cut
from cnn_jax.runtime import random_keys
from cnn_jax.train.loss import cross_entropy
from cnn_jax.train.metrics import Sums, predictions, sums
from cnn_jax.train.partial import Paths, merge, narrow, select, widen
from cnn_jax.train.state import TrainState, Variables

# image [N, H, W, C]; label int32 [N]; in training perhaps target [N, classes], which the loss then
# takes instead of the label; in evaluation mask bool [N].
Batch = dict[str, jax.Array]


def make_train_step(
    module: nn.Module,
    optimizer: optax.GradientTransformationExtraArgs,
    *,
    seed: int | jax.Array,
    label_smoothing: float = 0.0,
    accumulate: int = 1,
    stat_batch: int | None = None,
    ema: float | None = None,
    axis: str | None = None,
    trained: Paths | None = None,
) -> Callable[[TrainState, Batch], tuple[TrainState, Sums]]:
    """Return the step: one update by the gradient of the batch's mean loss.

    Logits of auxiliary heads are added to the loss with the module's ``AUX_WEIGHTS``; metrics are
    those of the network's own logits, their loss included.

    Args:
        module: the network.
        optimizer: as ``make_optimizer`` returns it.
        seed: of the run, for dropout.
        label_smoothing: of the loss.
        accumulate: go through the batch in so many parts, one after the other, and add up their
            gradients: the same update in less memory, up to rounding. BatchNorm then normalises
            each part by itself and updates its running statistics with each. Part i has examples
            i, i + accumulate, ...
        stat_batch: examples that share BatchNorm's statistics; all of a part if None.
        ema: decay of the running mean of the variables kept in the state; none if None.
            BatchNorm's statistics are averaged as the parameters are: they belong to them.
        axis: a mapped axis (of ``pmap``) over whose devices the batch is cut.
        trained: the paths of the parameters that this step changes, all if None. The others are
            constants: BatchNorm layers whose scale and bias are among them work as in inference,
            and their statistics stay. Dropout works wherever the network has it. The optimizer's
            state may be that of more parameters; what is not trained keeps its own.
    """

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Sums]:
        params = state.variables["params"]
        rest = {name: value for name, value in state.variables.items() if name != "params"}
        dropout = jax.random.fold_in(
            random_keys.stream(seed, random_keys.Purpose.DROPOUT), state.step
        )
        positions = jnp.arange(batch["label"].shape[0], dtype=jnp.int32)
        if axis is not None:
            positions += jax.lax.axis_index(axis) * batch["label"].shape[0]

        def loss_fn(learned: Any, rest: Any, part: Batch, positions: jax.Array):
            with cut(Cut(positions, stat_batch, axis, trained)):
                outputs, updated = module.apply(
                    {"params": merge(params, learned), **rest},
                    part["image"],
                    train=True,
                    rngs={"dropout": dropout},
                    mutable=list(rest),
                )
            logits, *heads = outputs if isinstance(outputs, tuple) else (outputs,)
            labels, targets = part["label"], part.get("target")
            losses = cross_entropy(logits, labels, label_smoothing, targets)
            total = losses
            weights = getattr(module, "AUX_WEIGHTS", ()) if heads else ()
            for weight, head in zip(weights, heads, strict=True):
                total += weight * cross_entropy(head, labels, label_smoothing, targets)
            measured = sums(losses, logits, labels, jnp.ones(labels.shape, bool))
            return jnp.mean(total), (updated, measured)

        def gradient(learned: Any):
            """Return the batch's gradient, mean loss, updated statistics and metrics."""
            compute = jax.value_and_grad(loss_fn, has_aux=True)
            if accumulate == 1:
                (loss, (updated, measured)), grads = compute(learned, rest, batch, positions)
            else:
                parts = jax.tree.map(lambda x: _parts(x, accumulate), (batch, positions))

                def add(carry, part):
                    grads, loss, rest, measured = carry
                    (one, (rest, new)), more = compute(learned, rest, *part)
                    grads = jax.tree.map(jnp.add, grads, more)
                    return (grads, loss + one, rest, measured + new), None

                first = jax.tree.map(lambda x: x[0], parts)
                shapes = jax.eval_shape(compute, learned, rest, *first)
                (loss, (_, measured)), grads = jax.tree.map(
                    lambda x: jnp.zeros(x.shape, x.dtype), shapes
                )
                (grads, loss, updated, measured), _ = jax.lax.scan(
                    add, (grads, loss, rest, measured), parts
                )
                grads, loss = jax.tree.map(lambda x: x / accumulate, (grads, loss))
            if axis is not None:
                grads, loss = jax.lax.pmean((grads, loss), axis)
                measured = jax.lax.psum(measured, axis)
            return grads, loss, updated, measured

        learned = select(params, trained)
        grads, loss, updated, measured = gradient(learned)
        updates, opt_state = optimizer.update(
            grads,
            narrow(optimizer, state.opt_state, learned),
            learned,
            error=1 - measured.correct / measured.examples,
            grad_fn=lambda learned, _: gradient(learned)[0],
        )
        learned = optax.apply_updates(learned, updates)
        mean, mean_rest = state.ema, state.ema_rest
        if ema is not None:
            mean = optax.incremental_update(learned, select(mean, trained), 1 - ema)
            mean = merge(state.ema, mean)
            mean_rest = _averaged(updated, mean_rest, ema, trained)
        done = state.step + 1
        bad = (state.bad_step < 0) & ~jnp.isfinite(loss)
        state = TrainState(
            step=done,
            variables={"params": merge(params, learned), **updated},
            opt_state=widen(state.opt_state, opt_state),
            ema=mean,
            ema_rest=mean_rest,
            window=state.window + measured,
            bad_step=jnp.where(bad, done, state.bad_step),
        )
        return state, measured

    return step


def _averaged(new: Variables, mean: Variables, decay: float, trained: Paths | None) -> Variables:
    """Return the running mean of the collections in ``mean``, which statistics in ``new`` move.

    Those of modules that are not trained stay what they are, and what is no real number is not
    averaged: it is the newest.
    """
    modules = None if trained is None else {path[:-1] for path in trained}
    newest: Any = traverse_util.flatten_dict(new)
    flat: Any = traverse_util.flatten_dict(mean)

    def one(path: tuple[str, ...], old: jax.Array) -> Any:
        if modules is not None and path[1:-1] not in modules:
            return old
        if not jnp.issubdtype(old.dtype, jnp.inexact):
            return newest[path]
        return optax.incremental_update(newest[path], old, 1 - decay)

    return traverse_util.unflatten_dict({path: one(path, old) for path, old in flat.items()})


def _parts(x: jax.Array, count: int) -> jax.Array:
    """Cut ``[N, ...]`` into ``[count, N / count, ...]``, example i to part i mod count.

    So each device of a sharded batch finds its share of every part on itself.
    """
    return jnp.swapaxes(x.reshape(x.shape[0] // count, count, *x.shape[1:]), 0, 1)


def make_eval_step(module: nn.Module) -> Callable[[Variables, Batch], tuple[Sums, jax.Array]]:
    """Return the evaluation of a batch: sums over the examples that its mask lets through.

    And the predicted classes of all of them, int32 ``[N]``, -1 where the network gives a NaN.
    """

    def step(variables: Variables, batch: Batch) -> tuple[Sums, jax.Array]:
        logits = module.apply(variables, batch["image"], train=False)
        assert isinstance(logits, jax.Array)
        losses = cross_entropy(logits, batch["label"])
        measured = sums(losses, logits, batch["label"], batch["mask"])
        return measured, predictions(logits)

    return step


def all_finite(tree: Any) -> jax.Array:
    """Return whether every number in a tree of arrays is finite, bool ``[]``."""
    leaves = [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]
    return jnp.all(jnp.stack(leaves))
