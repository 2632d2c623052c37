"""Optimizers and learning-rate schedules from optax, by name."""

import difflib
from collections.abc import Callable, Sequence

import jax
import optax

from cnn_jax.errors import BadInputError

Schedule = Callable[[jax.typing.ArrayLike], jax.typing.ArrayLike]

SCHEDULES = ("constant", "cosine", "step")
OPTIMIZERS = ("sgd", "nesterov", "adam", "adamw")


def _choose(field: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1) or known
        raise BadInputError(f"{field} is {name!r}; there is {', '.join(near)}")


def make_schedule(
    name: str,
    *,
    learning_rate: float,
    total_steps: int,
    warmup: int = 0,
    milestones: Sequence[int] = (),
    factor: float = 0.1,
) -> Schedule:
    """Return step -> learning rate; ``warmup`` steps of linear growth come before it.

    Args:
        name: 'constant'; 'cosine', to zero at ``total_steps`` (Loshchilov & Hutter 2016,
            eq. 5, without restarts); 'step', multiplied by ``factor`` at each of ``milestones``.
        learning_rate: the highest rate.
        total_steps: steps of the run, warm-up included.
        warmup: steps until the highest rate is reached.
        milestones: steps, counted from the run's start.
        factor: what a milestone multiplies the rate by.
    """
    _choose("optim.schedule", name, SCHEDULES)
    if name == "cosine":
        after = optax.cosine_decay_schedule(learning_rate, max(total_steps - warmup, 1))
    elif name == "step":
        if not milestones:
            raise BadInputError("optim.milestones: the schedule 'step' needs at least one step")
        after = optax.piecewise_constant_schedule(
            learning_rate, {int(step) - warmup: factor for step in milestones}
        )
    else:
        after = optax.constant_schedule(learning_rate)
    if warmup == 0:
        return after
    # Step 0 takes the first of the equal increments: a rate of zero would waste it.
    rise = optax.linear_schedule(learning_rate / warmup, learning_rate, max(warmup - 1, 1))
    return optax.join_schedules([rise, after], [warmup])


def kernels(params: optax.Params) -> optax.Params:
    """Return which parameters are kernels, the ones that decay: not biases, scales, offsets."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: getattr(path[-1], "key", None) == "kernel", params
    )


def make_optimizer(
    name: str,
    schedule: Schedule,
    *,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    clip: float | None = None,
) -> optax.GradientTransformation:
    """Return the optimizer ``name``: sgd, nesterov (with momentum), adam or adamw.

    Weight decay acts on kernels only. It is added to the gradient (L2 regularisation, as in
    He et al. 2015), except for adamw, which decays apart from the gradient (Loshchilov & Hutter
    2017). ``clip`` bounds the gradient's global norm before anything else.
    """
    _choose("optim.name", name, OPTIMIZERS)
    steps = [optax.clip_by_global_norm(clip)] if clip is not None else []
    if weight_decay and name != "adamw":
        steps.append(optax.add_decayed_weights(weight_decay, mask=kernels))
    if name in ("sgd", "nesterov"):
        steps.append(optax.sgd(schedule, momentum or None, nesterov=name == "nesterov"))
    elif name == "adam":
        steps.append(optax.adam(schedule))
    else:
        steps.append(optax.adamw(schedule, weight_decay=weight_decay, mask=kernels))
    return optax.chain(*steps)
