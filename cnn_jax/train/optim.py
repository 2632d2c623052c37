"""Optimizers from optax, by name."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from cnn_jax.registry import check_choice
from cnn_jax.runtime import ranges
from cnn_jax.train.schedules import Schedule

OPTIMIZERS = (
    "sgd",
    "nesterov",
    "adam",
    "adamw",
    "rmsprop",
    "lars",
    "lamb",
    "muon",
    "sam",
)
DECAY_APART = ("adamw", "lars", "lamb", "muon")  # these take weight decay themselves
WARM_ERROR_FACTOR = 0.1  # He et al. 2015, section 4.2: 0.01 before 0.1
TRUST = 0.001  # You et al. 2017, section 5
SAM_RADIUS = 0.05  # Foret et al. 2020, section 3.1


def kernels(params: optax.Params) -> optax.Params:
    """Return which parameters are kernels, the ones that decay: not biases, scales, offsets."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: getattr(path[-1], "key", None) == "kernel", params
    )


def make_optimizer(
    name: str,
    schedule: Schedule,
    *,
    momentum: Annotated[float, ranges.below(1, low=0)] = 0.9,
    weight_decay: Annotated[float, ranges.at_least(0)] = 0.0,
    clip: Annotated[float, ranges.above(0)] | None = None,
    warmup_error: Annotated[float, ranges.inside(0, 1)] | None = None,
    factors: Mapping[tuple[str, ...], float] | None = None,
) -> optax.GradientTransformationExtraArgs:
    """Return the optimizer ``name``.

    Its ``update`` is to be given ``error``, the batch's share of wrong answers, and ``grad_fn``,
    (parameters, index) -> gradient; those that need neither ignore them.

    Args:
        name: sgd, nesterov (with ``momentum``), adam, adamw, rmsprop (with ``momentum``), lars
            (You et al. 2017), lamb (You et al. 2019), muon (Jordan 2024: kernels as matrices
            [field x in, out], the rest by Adam) or sam (Foret et al. 2020: sgd by the gradient
            0.05 uphill, twice the work a step).
        schedule: step -> learning rate.
        momentum: of those that have it.
        weight_decay: on kernels only. Added to the gradient (L2 regularisation, as in He et al.
            2015), except for adamw, lars, lamb and muon, whose rules have a place for it.
        clip: bound of the gradient's global norm, before anything else.
        warmup_error: see ``until_error``.
        factors: of the learning rate, by the parameter's path; 1 if None.

    Raises:
        BadInputError: an unknown name, or a value outside its range.
    """
    check_choice("optim.name", name, OPTIMIZERS)
    values = {
        "momentum": momentum,
        "weight_decay": weight_decay,
        "clip": clip,
        "warmup_error": warmup_error,
    }
    ranges.check_all("optim", values, ranges.declared(make_optimizer))
    steps: list[Any] = [optax.clip_by_global_norm(clip)] if clip is not None else []
    if weight_decay and name not in DECAY_APART:
        steps.append(optax.add_decayed_weights(weight_decay, mask=kernels))
    steps.append(_rule(name, schedule, momentum, weight_decay))
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


def _rule(name: str, schedule: Any, momentum: float, weight_decay: float) -> Any:
    if name in ("sgd", "nesterov", "sam"):
        return optax.sgd(schedule, momentum or None, nesterov=name == "nesterov")
    if name == "adam":
        return optax.adam(schedule)
    if name == "adamw":
        return optax.adamw(schedule, weight_decay=weight_decay, mask=kernels)
    if name == "rmsprop":
        return optax.rmsprop(schedule, momentum=momentum or None)
    if name == "lars":
        rate = optax.scale_by_learning_rate(schedule)
        return optax.chain(_by_trust_ratio(weight_decay), rate, optax.trace(momentum))
    if name == "lamb":
        return optax.lamb(schedule, weight_decay=weight_decay, mask=kernels)
    # contrib.muon has one switch for Nesterov's momentum in both of its rules, and its Adam would
    # be Nadam; so it gets the matrices alone.
    muon = contrib.muon(
        schedule,
        beta=momentum,
        weight_decay=weight_decay,
        muon_weight_dimension_numbers=_matrices,
    )
    return optax.partition({"muon": muon, "adam": optax.adam(schedule)}, _muon_or_adam)


def _by_trust_ratio(decay: float) -> optax.GradientTransformation:
    """Return LARS's local rates on kernels, weight decay included (You et al. 2017, eq. 6).

    A kernel w of gradient g goes by ``TRUST |w| / (|g| + decay |w|) (g + decay w)``. Biases and
    BatchNorm's parameters neither decay nor are rescaled (section 4), nor is a kernel of zeros,
    which the rule would leave there. (``optax.lars`` divides by ``|g + decay w|`` instead.)
    """

    def scaled(is_kernel: bool, gradient: jax.Array, kernel: jax.Array) -> jax.Array:
        if not is_kernel:
            return gradient
        norm, slope = jnp.linalg.norm(kernel.ravel()), jnp.linalg.norm(gradient.ravel())
        divisor = slope + decay * norm
        movable = (norm > 0) & (divisor > 0)
        ratio = jnp.where(movable, TRUST * norm / jnp.where(movable, divisor, 1), 1)
        return ratio * (gradient + decay * kernel)

    def update(updates: optax.Updates, params: optax.Params | None) -> optax.Updates:
        assert params is not None
        return jax.tree.map(scaled, kernels(params), updates, params)

    return optax.stateless(update)


def _muon_or_adam(params: optax.Params) -> optax.Params:
    """Return which rule moves each parameter: muon the kernels with at least two axes."""

    def rule(leaf: jax.Array, is_kernel: bool) -> str:
        return "muon" if is_kernel and leaf.ndim >= 2 else "adam"

    return jax.tree.map(rule, params, kernels(params))


def _matrices(params: optax.Params) -> optax.Params:
    """Return how muon is to see each kernel: as [all but the last, last]."""

    def see(leaf: jax.Array) -> contrib.MuonDimensionNumbers:
        return contrib.MuonDimensionNumbers(tuple(range(leaf.ndim - 1)), leaf.ndim - 1)

    return jax.tree.map(see, params)


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
