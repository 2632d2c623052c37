"""The steps: pure functions of (state, batch)."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from cnn_jax import keys
from cnn_jax.train.loss import cross_entropy
from cnn_jax.train.metrics import Sums, sums
from cnn_jax.train.state import TrainState, Variables

Batch = dict[str, jax.Array]  # image [N, H, W, C]; label int32 [N]; in evaluation mask bool [N]


def make_train_step(
    module: nn.Module,
    optimizer: optax.GradientTransformation,
    *,
    seed: int,
    label_smoothing: float = 0.0,
) -> Callable[[TrainState, Batch], tuple[TrainState, Sums]]:
    """Return the step: one update by the gradient of the batch's mean loss.

    Logits of auxiliary heads are added to the loss with the module's ``AUX_WEIGHTS``; metrics are
    those of the network's own logits, their loss included.
    """

    def step(state: TrainState, batch: Batch) -> tuple[TrainState, Sums]:
        params = state.variables["params"]
        rest = {name: value for name, value in state.variables.items() if name != "params"}
        dropout = jax.random.fold_in(keys.stream(seed, keys.Purpose.DROPOUT), state.step)

        def loss_fn(params: Any) -> tuple[jax.Array, Any]:
            outputs, updated = module.apply(
                {"params": params, **rest},
                batch["image"],
                train=True,
                rngs={"dropout": dropout},
                mutable=list(rest),
            )
            logits, *heads = outputs if isinstance(outputs, tuple) else (outputs,)
            losses = cross_entropy(logits, batch["label"], label_smoothing)
            total = losses
            weights = getattr(module, "AUX_WEIGHTS", ()) if heads else ()
            for weight, head in zip(weights, heads, strict=True):
                total += weight * cross_entropy(head, batch["label"], label_smoothing)
            return jnp.mean(total), (losses, logits, updated)

        gradient = jax.value_and_grad(loss_fn, has_aux=True)
        (loss, (losses, logits, updated)), grads = gradient(params)
        updates, opt_state = optimizer.update(grads, state.opt_state, params)
        everyone = jnp.ones(batch["label"].shape, bool)
        metrics = sums(losses, logits, batch["label"], everyone)
        done = state.step + 1
        bad = (state.bad_step < 0) & ~jnp.isfinite(loss)
        state = TrainState(
            step=done,
            variables={"params": optax.apply_updates(params, updates), **updated},
            opt_state=opt_state,
            window=state.window + metrics,
            bad_step=jnp.where(bad, done, state.bad_step),
        )
        return state, metrics

    return step


def make_eval_step(module: nn.Module) -> Callable[[Variables, Batch], Sums]:
    """Return the evaluation of a batch: sums over the examples that its mask lets through."""

    def step(variables: Variables, batch: Batch) -> Sums:
        logits = module.apply(variables, batch["image"], train=False)
        assert isinstance(logits, jax.Array)
        return sums(cross_entropy(logits, batch["label"]), logits, batch["label"], batch["mask"])

    return step


def all_finite(tree: Any) -> jax.Array:
    """Return whether every number in a tree of arrays is finite, bool ``[]``."""
    leaves = [jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(tree)]
    return jnp.all(jnp.stack(leaves))
