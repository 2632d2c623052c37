"""The steps: pure functions of (state, batch).

A step may train some of the parameters. The others are constants then: BatchNorm layers whose scale
and bias are among them work as in inference, and their statistics stay, but dropout works
everywhere. The optimizer's state may be that of more parameters than the step trains.
"""

import itertools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from flax import traverse_util

from cnn_jax.nn.calling import mode
from cnn_jax.nn.context import Cut, cut, example_keys
from cnn_jax.runtime import random_keys
from cnn_jax.runtime.random_keys import Purpose
from cnn_jax.tasks.task import Batch, Task
from cnn_jax.train.partial import Paths, merge, narrow, select, widen
from cnn_jax.train.state import TrainState, Variables


def make_train_step(
    module: nn.Module,
    task: Task,
    optimizer: optax.GradientTransformationExtraArgs,
    *,
    seed: int | jax.Array,
    accumulate: int = 1,
    stat_batch: int | None = None,
    ema: float | None = None,
    axis: str | None = None,
    trained: Paths | None = None,
) -> Callable[[TrainState, Batch], tuple[TrainState, Any]]:
    """Return the step: one update by the gradient of the batch's mean loss.

    Args:
        module: the network.
        task: what it learns: the loss, and the metrics that the step returns beside the state.
        optimizer: an optax transformation that takes further arguments.
        seed: of the run, for dropout.
        accumulate: parts that the batch is gone through in, to save memory; see ``_in_parts``.
        stat_batch: examples that share BatchNorm's statistics; all of a part if None.
        ema: decay of the running mean of the variables kept in the state; none if None.
        axis: a mapped axis (of ``pmap``) over whose devices the batch is cut.
        trained: the paths of the parameters that this step changes, all if None.
    """
    training = mode(module, train=True)

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Any]:
        params = state.variables["params"]
        rest = {name: value for name, value in state.variables.items() if name != "params"}
        stream = random_keys.stream(seed, Purpose.DROPOUT)
        dropout = jax.random.fold_in(stream, state.step)

        def loss_fn(learned: Any, rest: Any, part: Batch, positions: jax.Array):
            whole = {"params": merge(params, learned), **rest}
            with cut(Cut(positions, stat_batch, axis, trained)):
                if hasattr(task, "forward"):
                    extra = jax.random.fold_in(random_keys.stream(seed, Purpose.TASK), state.step)
                    outputs, updated = _forward(module, task, whole, part, dropout, extra)
                else:
                    how = {"rngs": {"dropout": dropout}, "mutable": list(rest)} | training
                    outputs, updated = module.apply(whole, part["image"], **how)
            losses = task.loss(outputs, part)
            return jnp.mean(losses), (updated, task.metrics(outputs, part, train=True))

        positions = _positions(batch["image"].shape[0], axis)
        gradient = _over_devices(_in_parts(loss_fn, accumulate), axis)
        learned = select(params, trained)
        (loss, (updated, measured)), grads = gradient(learned, rest, batch, positions)
        updates, opt_state = optimizer.update(
            grads,
            narrow(optimizer, state.opt_state, learned),
            learned,
            error=_error(measured),
            grad_fn=lambda learned, _: gradient(learned, rest, batch, positions)[1],
        )
        learned = optax.apply_updates(learned, updates)
        return _after(state, learned, updated, opt_state, loss, measured, ema, trained), measured

    return step


def _forward(
    module: nn.Module, task: Any, variables: Any, batch: Batch, dropout: jax.Array, extra: jax.Array
) -> tuple[Any, Any]:
    """Return what a task's ``forward`` makes of a batch, and the collections but params, updated.

    It gets a key for each example, made of ``extra``. Its first call of the network draws by the
    key ``dropout``, later ones by keys made of it.
    """
    calls = itertools.count()
    rest = {name: value for name, value in variables.items() if name != "params"}
    updated = rest

    def apply(images: jax.Array) -> Any:
        nonlocal updated
        again = next(calls)
        outputs, updated = module.apply(
            {"params": variables["params"], **updated},
            images,
            rngs={"dropout": jax.random.fold_in(dropout, again) if again else dropout},
            mutable=list(rest),
            **mode(module, train=True),
        )
        return outputs

    keys = example_keys(extra, len(batch["image"]))
    outputs = task.forward(apply, batch | {"keys": keys})
    return outputs, updated


def _positions(examples: int, axis: str | None) -> jax.Array:
    """Return where a device's examples are in the whole batch, int32 ``[N]``."""
    positions = jnp.arange(examples, dtype=jnp.int32)
    if axis is not None:
        positions += jax.lax.axis_index(axis) * examples
    return positions


# As jax.value_and_grad returns it with has_aux: ((loss, (updated, metrics)), gradient).
_Gradient = Callable[..., tuple[tuple[jax.Array, tuple[Any, Any]], Any]]


def _in_parts(loss_fn: Callable[..., Any], count: int) -> _Gradient:
    """Return the function (parameters, statistics, batch, positions) -> gradient of the mean loss.

    The batch is gone through in ``count`` parts, one after the other, whose gradients are added up:
    the same gradient in less memory, up to rounding, except that BatchNorm normalises each part by
    itself and updates its running statistics with each. Part i has examples i, i + count, ...
    """
    compute: _Gradient = jax.value_and_grad(loss_fn, has_aux=True)
    if count == 1:
        return compute

    def gradient(learned: Any, rest: Any, batch: Batch, positions: jax.Array):
        parts = jax.tree.map(lambda x: _parts(x, count), (batch, positions))

        def add(carry, part):
            grads, loss, rest, measured = carry
            (one, (rest, new)), more = compute(learned, rest, *part)
            grads = jax.tree.map(jnp.add, grads, more)
            return (grads, loss + one, rest, measured + new), None

        first = jax.tree.map(lambda x: x[0], parts)
        shapes = jax.eval_shape(compute, learned, rest, *first)
        (loss, (_, measured)), grads = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
        (grads, loss, updated, measured), _ = jax.lax.scan(
            add, (grads, loss, rest, measured), parts
        )
        grads, loss = jax.tree.map(lambda x: x / count, (grads, loss))
        return (loss, (updated, measured)), grads

    return gradient


def _over_devices(gradient: _Gradient, axis: str | None) -> _Gradient:
    """Return the gradient of a batch whose shares lie on the devices of a mapped axis."""
    if axis is None:
        return gradient

    def whole(*args: Any):
        (loss, (updated, measured)), grads = gradient(*args)
        grads, loss = jax.lax.pmean((grads, loss), axis)
        return (loss, (updated, jax.lax.psum(measured, axis))), grads

    return whole


def _error(measured: Any) -> jax.Array:
    """Return the share of a batch that the network gets wrong, for a warm-up by the error."""
    if not hasattr(measured, "correct"):
        return jnp.full((), jnp.nan)
    return 1 - measured.correct / measured.examples


def _after(
    state: TrainState,
    learned: Any,
    updated: Variables,
    opt_state: optax.OptState,
    loss: jax.Array,
    measured: Any,
    ema: float | None,
    trained: Paths | None,
) -> TrainState:
    """Return the state after an update of the parameters that are trained.

    What is not trained keeps its own part of the optimizer's state. The running mean is taken of
    BatchNorm's statistics as of the parameters: they belong to them.
    """
    mean, mean_rest = state.ema, state.ema_rest
    if ema is not None:
        mean = optax.incremental_update(learned, select(mean, trained), 1 - ema)
        mean = merge(state.ema, mean)
        mean_rest = _averaged(updated, mean_rest, ema, trained)
    done = state.step + 1
    bad = (state.bad_step < 0) & ~jnp.isfinite(loss)
    return TrainState(
        step=done,
        variables={"params": merge(state.variables["params"], learned), **updated},
        opt_state=widen(state.opt_state, opt_state),
        ema=mean,
        ema_rest=mean_rest,
        window=state.window + measured,
        bad_step=jnp.where(bad, done, state.bad_step),
    )


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


def make_eval_step(module: nn.Module, task: Any) -> Callable[..., tuple[Any, Any]]:
    """Return the evaluation of a batch: the task's sums over what its mask lets through.

    And its predictions of all of them, classes int32 ``[N]`` for a classification; of the step that
    ``scoring`` asks for, a pair of these and the task's scores ``[N, ...]``.
    """
    inference = mode(module, train=False)

    def step(variables: Variables, batch: Batch, scoring: bool = False) -> tuple[Any, Any]:
        outputs = module.apply(variables, batch["image"], **inference)
        said = task.predictions(outputs)
        said = (said, task.scores(outputs)) if scoring else said
        return task.metrics(outputs, batch, train=False), said

    return step


def all_finite(tree: Any) -> jax.Array:
    """Return whether every number in a tree of arrays is finite, bool ``[]``."""
    leaves = [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]
    return jnp.all(jnp.stack(leaves))
