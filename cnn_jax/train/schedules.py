"""Learning-rate schedules from optax, by name."""

import inspect
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Annotated, Any, cast

import jax
import jax.numpy as jnp
import optax

from cnn_jax.registry import check_choice, is_known, table
from cnn_jax.runtime import ranges
from cnn_jax.runtime.errors import BadInputError, first_line

Schedule = Callable[[jax.typing.ArrayLike], jax.typing.ArrayLike]

# A registered one is a function of any of learning_rate, total_steps, warmup, milestones and factor
# that returns step -> learning rate; None for the project's own.
SCHEDULES: dict[str, Any] = table(
    "schedule", dict.fromkeys(("constant", "cosine", "step", "onecycle"))
)

MOST_STEPS = 2**31 - 1  # steps are counted in int32


def make_schedule(
    name: str,
    *,
    learning_rate: Annotated[float, ranges.above(0)],
    total_steps: Annotated[int, ranges.whole(1, high=MOST_STEPS)],
    warmup: Annotated[int, ranges.whole(0, high=MOST_STEPS)] = 0,
    milestones: Annotated[
        Sequence[int], ranges.Each(ranges.whole(1, high=MOST_STEPS), rising=True)
    ] = (),
    factor: Annotated[float, ranges.above(0)] = 0.1,
) -> Schedule:
    """Return step -> learning rate; ``warmup`` steps of linear growth come before it.

    Args:
        name: 'constant'; 'cosine', to zero at ``total_steps`` (Loshchilov & Hutter 2016,
            eq. 5, without restarts); 'step', multiplied by ``factor`` at each of ``milestones``;
            'onecycle', a cosine from 1/25 of the highest rate up to it at 30 % of the steps and
            down to a ten-thousandth of the first (Smith & Topin 2017); or a registered one.
        learning_rate: the highest rate.
        total_steps: steps of the run, warm-up included.
        warmup: steps until the highest rate is reached.
        milestones: rising steps, counted from the run's start.
        factor: what a milestone multiplies the rate by.

    Raises:
        BadInputError: an unknown name, a value outside its range, 'step' without milestones,
            'onecycle' with warm-up.
    """
    _check_name(name)
    values = {
        "learning_rate": learning_rate,
        "total_steps": total_steps,
        "warmup": warmup,
        "milestones": milestones,
        "factor": factor,
    }
    ranges.check_all("optim", values, ranges.declared(make_schedule))
    if SCHEDULES[name] is not None:
        return _registered(name, values)
    if name == "onecycle":
        if warmup:
            raise BadInputError(
                f"optim.warmup is {warmup}; the schedule 'onecycle' warms up itself: set 0"
            )
        return optax.cosine_onecycle_schedule(total_steps, learning_rate)
    if name == "cosine":
        after = optax.cosine_decay_schedule(learning_rate, max(total_steps - warmup, 1))
    elif name == "step":
        if len(milestones) == 0:
            raise BadInputError("optim.milestones: the schedule 'step' needs at least one step")
        after = optax.piecewise_constant_schedule(
            learning_rate, {step - warmup: factor for step in milestones}
        )
    else:
        after = optax.constant_schedule(learning_rate)
    if warmup == 0:
        return after
    # Step 0 takes the first of the equal increments: a rate of zero would waste it.
    rise = optax.linear_schedule(learning_rate / warmup, learning_rate, max(warmup - 1, 1))
    return optax.join_schedules([rise, after], [warmup])


def _check_name(name: str) -> None:
    if not is_known("schedule", name):
        check_choice("optim.schedule", name, SCHEDULES)


def _registered(name: str, values: dict[str, Any]) -> Schedule:
    made = SCHEDULES[name]
    takes = inspect.signature(made).parameters
    try:
        schedule = made(**{key: value for key, value in values.items() if key in takes})
    except Exception as error:  # whatever a function from outside raises
        raise BadInputError(f"optim.schedule: {name!r}: {first_line(error)}") from None
    if not callable(schedule):
        raise BadInputError(
            f"optim.schedule: {name!r} returns a {type(schedule).__name__}, not a function of the "
            "step"
        )
    _try(name, schedule)
    return cast(Schedule, schedule)


def _try(name: str, schedule: Any) -> None:
    """Raise ``BadInputError`` unless a schedule can be traced, to a number."""
    try:
        rate = jax.eval_shape(schedule, jax.ShapeDtypeStruct((), jnp.int32))
    except Exception as error:  # whatever a function from outside raises
        raise BadInputError(f"optim.schedule: {name!r}: {first_line(error)}") from None
    kinds = (jnp.floating, jnp.integer)
    if getattr(rate, "shape", None) != () or not any(jnp.issubdtype(rate.dtype, x) for x in kinds):
        raise BadInputError(f"optim.schedule: {name!r} makes {rate} of a step, not a real number")


def steps_of(epochs: float, examples: int, batch_size: int) -> int:
    """Return the steps in which so many passes over ``examples`` are seen, the last one shared.

    Raises ``BadInputError`` where those are more than can be counted.
    """
    # As the number is written: 1.1 epochs of 900 examples are 990, not a little more.
    found = math.ceil(Fraction(repr(epochs)) * examples / batch_size)
    if found > MOST_STEPS:
        raise BadInputError(
            f"config field 'train.epochs' is {epochs!r}; it has to be at most {MOST_STEPS:,} steps "
            f"of {batch_size} examples"
        )
    return found
