"""Update rules by name: the library's own, any of optax's, and registered ones."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from cnn_jax.registry import is_known, suggestion, table
from cnn_jax.runtime.errors import BadInputError, first_line

TRUST = 0.001  # You et al. 2017, section 5
# What fields of a config set: no option may set it, too.
SET_BY_FIELDS = {
    "learning_rate": "optim.learning_rate",
    "weight_decay": "optim.weight_decay",
    "nesterov": "optim.name=nesterov",
    "mask": "the rule that kernels alone decay",
    "weight_decay_mask": "the rule that kernels alone decay",
}
MASKS = ("mask", "weight_decay_mask")  # what factories call which parameters decay


def kernels(params: optax.Params) -> optax.Params:
    """Return which parameters are kernels, the ones that decay: not biases, scales, offsets."""
    return jax.tree_util.tree_map_with_path(
        lambda path, _: getattr(path[-1], "key", None) == "kernel", params
    )


class Wanted(NamedTuple):
    """What a config asks of a rule; ``options`` are further arguments of its factory."""

    schedule: Any
    momentum: float
    weight_decay: float
    options: Mapping[str, Any]


class Rule(NamedTuple):
    """What makes an optax transformation of what is wanted.

    ``decays`` says that it has a place of its own for weight decay.
    """

    made: Callable[[Wanted], Any]
    decays: bool = False


def _of_factory(factory: Callable[..., Any], name: str, wanted: Wanted, **ours: Any) -> Any:
    """Return what an optax factory makes of the schedule, arguments of ours and the options.

    Raises ``BadInputError`` for an option that it does not take, or cannot work with, and for a
    factory whose updates need more than a step has.
    """
    options = wanted.options
    parameters = inspect.signature(factory).parameters
    known = [each for each in [*parameters][1:] if each not in ours and each not in SET_BY_FIELDS]
    open_ended = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    for option in options:
        line = f"optim.options.{option}: {name}"
        if option in ours or (option in SET_BY_FIELDS and option in parameters):
            by = SET_BY_FIELDS.get(option, "this project")
            raise BadInputError(f"{line} has {option} set by {by}; leave the option out")
        if option not in known and not open_ended:
            meant = suggestion(option, known, count=3) or "no options"
            raise BadInputError(f"{line} has no such argument; it has {meant}")
    try:
        made = factory(wanted.schedule, **ours, **options)
        if options or name not in _OWN:
            _try(made)
    except Exception as error:  # whatever a factory says of options that it was not made for
        what = (
            f"optim.options: {name} with {dict(options)} makes no step of a gradient and a schedule"
        )
        raise BadInputError(f"{what}: {first_line(error)}") from None
    return made


def _try(optimizer: Any) -> None:
    """Trace one update with what a step gives: some want its loss, too, or no schedule."""

    def updated(params: Any) -> Any:
        given = {"error": jnp.ones(()), "grad_fn": lambda params, _: params}
        update = optax.with_extra_args_support(optimizer).update
        return update(params, optimizer.init(params), params, **given)[0]

    jax.eval_shape(updated, {"layer": {"kernel": jnp.zeros((2, 2))}})


def _sgd(wanted: Wanted, *, nesterov: bool) -> Any:
    momentum = wanted.momentum or None
    return _of_factory(optax.sgd, "sgd", wanted, momentum=momentum, nesterov=nesterov)


def _rmsprop(wanted: Wanted) -> Any:
    return _of_factory(optax.rmsprop, "rmsprop", wanted, momentum=wanted.momentum or None)


def _lars(wanted: Wanted) -> Any:
    if wanted.options:
        raise BadInputError(f"optim.options.{next(iter(wanted.options))}: lars has no options")
    rate = optax.scale_by_learning_rate(wanted.schedule)
    return optax.chain(_by_trust_ratio(wanted.weight_decay), rate, optax.trace(wanted.momentum))


def _muon(wanted: Wanted) -> Any:
    # contrib.muon has one switch for Nesterov's momentum in both of its rules, and its Adam would
    # be Nadam; so it gets the matrices alone.
    muon = _of_factory(
        contrib.muon,
        "muon",
        wanted,
        beta=wanted.momentum,
        weight_decay=wanted.weight_decay,
        muon_weight_dimension_numbers=_matrices,
    )
    return optax.partition({"muon": muon, "adam": optax.adam(wanted.schedule)}, _muon_or_adam)


def _of_optax(factory: Callable[..., Any], name: str, wanted: Wanted) -> Any:
    """Return what a factory makes; it gets the decay where it can leave it to kernels.

    Not the momentum, whose default suits sgd: of other rules it is an option.
    """
    ours: dict[str, Any] = {}
    if (mask := _mask(factory)) is not None:
        ours = {"weight_decay": wanted.weight_decay, mask: kernels}
    elif "weight_decay" in inspect.signature(factory).parameters:
        ours = {"weight_decay": 0.0}
    return _of_factory(factory, name, wanted, **ours)


def _mask(factory: Callable[..., Any]) -> str | None:
    """Return the parameter that says what decays, of a factory with weight decay; None without."""
    parameters = inspect.signature(factory).parameters
    if "weight_decay" not in parameters:
        return None
    return next((name for name in MASKS if name in parameters), None)


def _registered(factory: Callable[..., Any], name: str, wanted: Wanted) -> Any:
    try:
        made = factory(wanted.schedule, **wanted.options)
    except (TypeError, ValueError) as error:
        raise BadInputError(f"optim.options of {name}: {first_line(error)}") from None
    if not isinstance(made, optax.GradientTransformation):
        raise BadInputError(
            f"optim.name: {name!r} returns a {type(made).__name__}, not an optax transformation"
        )
    return made


_OWN: dict[str, Rule] = {
    "sgd": Rule(functools.partial(_sgd, nesterov=False)),
    "nesterov": Rule(functools.partial(_sgd, nesterov=True)),
    "adam": Rule(functools.partial(_of_optax, optax.adam, "adam")),
    "adamw": Rule(functools.partial(_of_optax, optax.adamw, "adamw"), decays=True),
    "rmsprop": Rule(_rmsprop),
    "lars": Rule(_lars, decays=True),
    "lamb": Rule(functools.partial(_of_optax, optax.lamb, "lamb"), decays=True),
    "muon": Rule(_muon, decays=True),
    "sam": Rule(functools.partial(_sgd, nesterov=False)),
}
OPTIMIZERS: dict[str, Any] = table("optimizer", _OWN)


@functools.cache
def of_optax() -> dict[str, Callable[..., Any]]:
    """Return optax's factories by name: functions whose first parameter is a learning rate."""
    found: dict[str, Callable[..., Any]] = {}
    for module in (contrib, optax):
        for name, each in vars(module).items():
            # optax.nadam is a partial of adam.
            function = each.func if isinstance(each, functools.partial) else each
            if name.startswith("_") or not inspect.isfunction(function):
                continue
            if next(iter(inspect.signature(each).parameters), None) == "learning_rate":
                found[name] = each
    return found


def find(name: str) -> Rule:
    """Return the rule ``name``; the library's own come first, then registered ones, then optax's.

    Raises ``BadInputError`` with the nearest names where there is none.
    """
    known = OPTIMIZERS.get(name)
    if isinstance(known, Rule):
        return known
    if known is None and name in of_optax():
        factory = of_optax()[name]
        decays = _mask(factory) is not None
        return Rule(functools.partial(_of_optax, factory, name), decays)
    if not is_known("optimizer", name):
        near = suggestion(name, [*OPTIMIZERS, *sorted(of_optax().keys() - OPTIMIZERS.keys())])
        raise BadInputError(f"optim.name is {name!r}; there is {near}")
    return Rule(functools.partial(_registered, OPTIMIZERS[name], name))


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
