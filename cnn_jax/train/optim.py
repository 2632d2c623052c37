"""The optimizer of a run: clipping, decay, a rule, and what scales its updates."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from cnn_jax.runtime import ranges
from cnn_jax.train.rules import Wanted, find, kernels
from cnn_jax.train.schedules import Schedule

WARM_ERROR_FACTOR = 0.1  # He et al. 2015, section 4.2: 0.01 before 0.1
SAM_RADIUS = 0.05  # Foret et al. 2020, section 3.1


def make_optimizer(
    name: str,
    schedule: Schedule,
    *,
    momentum: Annotated[float, ranges.below(1, low=0)] = 0.9,
    weight_decay: Annotated[float, ranges.at_least(0)] = 0.0,
    clip: Annotated[float, ranges.above(0)] | None = None,
    warmup_error: Annotated[float, ranges.inside(0, 1)] | None = None,
    factors: Mapping[tuple[str, ...], float] | None = None,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> optax.GradientTransformationExtraArgs:
    """Return the optimizer ``name``.

    Its ``update`` is to be given ``error``, the batch's share of wrong answers, and ``grad_fn``,
    (parameters, index) -> gradient; those that need neither ignore them.

    Args:
        name: sgd, nesterov (with ``momentum``), adam, adamw, rmsprop (with ``momentum``), lars
            (You et al. 2017), lamb (You et al. 2019), muon (Jordan 2024: kernels as matrices
            [field x in, out], the rest by Adam), sam (Foret et al. 2020: sgd by the gradient
            0.05 uphill, twice the work a step); any other factory of optax or optax.contrib whose
            first parameter is a learning rate; or a registered one, called with the schedule and
            the options.
        schedule: step -> learning rate.
        momentum: of those that have it.
        weight_decay: on kernels only. Added to the gradient (L2 regularisation, as in He et al.
            2015), except for adamw, lars, lamb, muon and others of optax whose rules have a place
            for it and say what decays.
        clip: bound of the gradient's global norm, before anything else.
        warmup_error: see ``until_error``.
        factors: of the learning rate, by the parameter's path; 1 if None.
        options: further arguments of the factory, such as Adam's ``b1``.

    Raises:
        BadInputError: an unknown name or option, or a value outside its range.
    """
    values = {
        "momentum": momentum,
        "weight_decay": weight_decay,
        "clip": clip,
        "warmup_error": warmup_error,
    }
    ranges.check_all("optim", values, ranges.declared(make_optimizer))
    steps: list[Any] = [optax.clip_by_global_norm(clip)] if clip is not None else []
    rule = find(name)
    if weight_decay and not rule.decays:
        steps.append(optax.add_decayed_weights(weight_decay, mask=kernels))
    steps.append(rule.made(Wanted(schedule, momentum, weight_decay, options)))
    if name == "sam":
        steps = [_uphill(optax.chain(*steps))]
    if factors is not None:
        steps.append(by_path(factors))
    if warmup_error is not None:
        steps.append(until_error(warmup_error))
    return optax.with_extra_args_support(optax.chain(*steps))


def _uphill(rule: Any) -> optax.GradientTransformationExtraArgs:
    """Return the rule with the gradient taken SAM_RADIUS uphill (Foret et al. 2020, eq. 2)."""
    up = optax.chain(contrib.normalize(), optax.sgd(SAM_RADIUS))
    sam = contrib.sam(rule, up, sync_period=2, opaque_mode=True)

    def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
        return sam.update(updates, state, params, grad_fn=extra["grad_fn"])

    return optax.GradientTransformationExtraArgs(sam.init, update)


def by_path(factors: Mapping[tuple[str, ...], float]) -> optax.GradientTransformation:
    """Return a transformation that multiplies each parameter's update by its path's factor.

    Behind an optimizer that multiplies by the learning rate last, these are learning rates by
    depth (Howard & Ruder 2018, section 3.2).
    """

    def scaled(path: Any, update: jax.Array) -> jax.Array:
        return update * factors[tuple(entry.key for entry in path)]

    return optax.stateless(lambda updates, _: jax.tree_util.tree_map_with_path(scaled, updates))


class WarmUntil(NamedTuple):
    """State of ``until_error``."""

    error: jax.Array  # running mean of the batches' training error, float32
    warm: jax.Array  # bool: the threshold was passed


def until_error(
    threshold: float, factor: float = WARM_ERROR_FACTOR, decay: float = 0.9
) -> optax.GradientTransformationExtraArgs:
    """Return a transformation that multiplies updates by ``factor`` until training has started.

    It has when the training error, averaged over about 1 / (1 - decay) batches, falls below
    ``threshold``; from then on updates pass. He et al. 2015, section 4.2: ResNet-110 begins at a
    tenth of its rate "until the training error is below 80%". Behind an optimizer that multiplies
    by the learning rate last, this is a tenth of the rate.
    """

    def init(params: optax.Params) -> WarmUntil:
        return WarmUntil(jnp.ones((), jnp.float32), jnp.zeros((), bool))

    def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
        mean = decay * state.error + (1 - decay) * jnp.asarray(extra["error"], jnp.float32)
        warm = state.warm | (mean < threshold)
        updates = jax.tree.map(lambda u: jnp.where(warm, u, u * factor), updates)
        return updates, WarmUntil(mean, warm)

    return optax.GradientTransformationExtraArgs(init, update)


def rate_factor(opt_state: optax.OptState) -> jax.Array | float:
    """Return what the optimizer multiplies the schedule's rate by at the moment."""
    is_warm = [
        leaf
        for leaf in jax.tree.leaves(opt_state, is_leaf=lambda x: isinstance(x, WarmUntil))
        if isinstance(leaf, WarmUntil)
    ]
    return jnp.where(is_warm[0].warm, 1.0, WARM_ERROR_FACTOR) if is_warm else 1.0


def rate_in_use(schedule: Callable[[int], Any], step: int, opt_state: optax.OptState) -> float:
    """Return the learning rate of the update after ``step`` others."""
    return float(jnp.asarray(schedule(step)) * rate_factor(opt_state))
