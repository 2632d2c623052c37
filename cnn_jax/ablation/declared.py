"""Checks of a study's declaration, each a line that says what would be right."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from cnn_jax.ablation.arms import Arm, Contrast, Match, Series
from cnn_jax.ablation.endpoints import ERROR, Endpoint
from cnn_jax.data.dataset import TEST, TRAIN, VALIDATION
from cnn_jax.runtime import ranges
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.tasks import measures

if TYPE_CHECKING:
    from cnn_jax.ablation.study import Study

BUDGETS = ("params", "macs", "step_time")
HELD = ("params", "macs", "steps", "order", "initial")
SPLITS = (TEST, VALIDATION, TRAIN)
LESS = (ERROR, "loss", "log_loss", "rank")  # metrics of which less is better
SEEDS = ranges.whole(2, high=10_000)
SHARE = ranges.inside(0, 1)
ABOVE = ranges.above(0)
NEAR = ranges.at_least(0, high=1)
LONGEST = 100  # characters of an arm's name, which is part of its cells' folders' names

Need = Callable[[bool, str], None]  # (whether it is good, the line if not)


def check_types(study: "Study", need: Need) -> None:
    """Check what a declaration is made of, so that what reads it may rely on it."""
    need(isinstance(study.name, str) and bool(study.name), "a study has a name")
    complete = all(hasattr(study.base, section) for section in ("model", "data", "optim", "train"))
    need(complete, f"base is {study.base!r:.60}; a config of base_config()")
    need(_is_list(study.arms), f"arms is {study.arms!r:.60}; a list of Arm")
    need(_texts(study.equal), f"equal is {study.equal!r}; a list of {', '.join(HELD)}")
    need(_texts(study.threats), f"threats is {study.threats!r:.60}; a list of sentences")
    need(isinstance(study.tune, Mapping), f"tune is {study.tune!r:.60}; field -> values")
    for name, values in study.tune.items():
        need(_is_list(values), f"tune has {values!r} for {name!r}; a list of values")
    for arm in study.arms:
        need(isinstance(arm, Arm), f"arms holds {arm!r:.60}; a list of Arm")
        _check_arm_types(study, arm, need)
    need(_is_list(study.contrasts), f"contrasts is {study.contrasts!r:.60}; a list of Contrast")
    for each in study.contrasts:
        need(isinstance(each, Contrast), f"contrasts holds {each!r:.60}; a list of Contrast")
        good = isinstance(each.name, str) and bool(each.name)
        need(good, f"a contrast is called {each.name!r:.60}")
        weights = isinstance(each.weights, Mapping) and _texts(list(each.weights))
        need(weights, f"contrast {each.name!r}: weights is {each.weights!r:.60}; arm -> weight")
    for name in ("relative", "tune_once"):
        value = getattr(study, name)
        need(isinstance(value, bool), f"{name} is {value!r}; True or False")
    need(_is_list(study.looks), f"looks is {study.looks!r}; a list of numbers of seeds")
    given = study.endpoint
    several = [given] if isinstance(given, (str, Endpoint)) else given
    need(_is_list(several), f"endpoint is {given!r:.60}; a split, an Endpoint or a list of them")
    for each in several:
        good = isinstance(each, (str, Endpoint))
        need(good, f"endpoint is {each!r:.60}; a split, an Endpoint or a list of them")
    if study.series is not None:
        need(isinstance(study.series, Series), f"series is {study.series!r:.60}; a Series")
        for name, place in study.series.places.items():
            good = isinstance(place, (tuple, list)) and len(place) == 2
            good = good and isinstance(place[0], str) and ranges.at_least(-math.inf).holds(place[1])
            need(good, f"series places {name!r} at {place!r:.60}; (line, number)")


def _check_arm_types(study: "Study", arm: Arm, need: Need) -> None:
    need(
        isinstance(arm.name, str) and arm.name.isprintable() and 0 < len(arm.name) <= LONGEST,
        f"an arm is called {arm.name!r:.60}; a name has 1 to {LONGEST} printable characters",
    )
    own = f"arm {arm.name!r}: "
    for what, fields in (("fields", arm.fields), ("also", arm.also)):
        good = isinstance(fields, Mapping) and _texts(list(fields))
        need(good, f"{own}{what} is {fields!r:.60}; a dict by names")
    listed = {"factor": arm.factor, "equal": study.held(arm), "not_worse": arm.not_worse}
    listed |= {f"also[{control!r}]": factor for control, factor in arm.also.items()}
    for what, value in listed.items():
        need(_texts(value), f"{own}{what} is {value!r:.60}; a list of names")
    if arm.match is not None:
        good = isinstance(arm.match, Match) and isinstance(arm.match.by, str)
        need(good, f"{own}match is {arm.match!r:.60}; Match(budget, field)")


def check_arms(study: "Study", need: Need) -> None:
    """Check that arms, their controls, contrasts and places name each other rightly."""
    names = [arm.name for arm in study.arms]
    for index, arm in enumerate(study.arms):
        need(names.count(arm.name) == 1, f"two arms are called {arm.name!r}")
        before = names[:index]
        controls = [each.against for each in arm.comparisons()]
        for control in controls:
            line = f"arm {arm.name!r} is against {control!r}, which is no arm before it"
            need(control in before, line)
        alone = arm.against is None and (arm.match is not None or bool(arm.also))
        need(not alone, f"arm {arm.name!r} has no control: match and also need against")
        for name in arm.not_worse:
            good = name in controls
            need(good, f"arm {arm.name!r} is not_worse than {name!r}, which is no control of it")
        need(
            "seed" not in arm.fields,
            f"arm {arm.name!r} sets seed; all arms share the study's seeds, which pairs them",
        )
        for held in study.held(arm):
            need(held in HELD, f"equal names {held!r}; there is {', '.join(HELD)}")
        if arm.match is not None:
            budget, near = arm.match.budget, arm.match.tolerance
            need(budget in BUDGETS, f"budget {budget!r}; there is {', '.join(BUDGETS)}")
            need(NEAR.holds(near), f"tolerance is {near!r}; {NEAR}")
    need(any(arm.against for arm in study.arms), "no arm is against another")
    for name in study.series.places if study.series else ():
        need(name in names, f"series places {name!r}, which is no arm")
    called = [each.name for each in study.contrasts]
    for each in study.contrasts:
        own = f"contrast {each.name!r}"
        need(called.count(each.name) == 1, f"two contrasts are called {each.name!r}")
        for name, weight in each.weights.items():
            need(name in names, f"{own} weighs {name!r}, which is no arm")
            good = ranges.at_least(-math.inf).holds(weight) and math.isfinite(weight) and weight
            need(bool(good), f"{own} weighs {name!r} by {weight!r}; a number other than 0")
        total = math.fsum(each.weights.values())
        whole = len(each.weights) > 1 and abs(total) < 1e-9
        need(whole, f"{own}: the weights sum to {total:g}; they are two or more that sum to 0")
        need(isinstance(each.not_worse, bool), f"{own}: not_worse is {each.not_worse!r}")
        given = each.smallest
        need(given is None or ABOVE.holds(given), f"{own}: smallest is {given!r}; {ABOVE}")
        told = given is not None or not study.relative
        need(told, f"{own}: smallest is unset, and the study's is relative to a control; set it")


def check_rules(study: "Study", need: Need) -> None:
    """Check the rules that verdicts follow: seeds, looks, endpoints, margins, tuning."""
    need(SEEDS.holds(study.seeds), f"seeds is {study.seeds!r}; {SEEDS}, to know their noise")
    need(SHARE.holds(study.smallest), f"smallest is {study.smallest!r}; {SHARE}: 0.01 is a point")
    first = study.endpoints[0].is_error if study.endpoints else False
    for name, allowed in (("at_chance", SHARE), ("spread", SHARE if first else ABOVE)):
        value = getattr(study, name)
        need(value is None or allowed.holds(value), f"{name} is {value!r}; {allowed}, or None")
    looks = tuple(study.looks)
    if looks:
        for look in looks:
            need(SEEDS.holds(look), f"looks has {look!r}; {SEEDS}")
        need(list(looks) == sorted(set(looks)), f"looks is {list(looks)}; numbers that grow")
        line = f"the last of looks is {looks[-1]} and seeds is {study.seeds}; it is at all seeds"
        need(looks[-1] == study.seeds, line)
    endpoints = study.endpoints
    need(bool(endpoints), "endpoint is an empty list")
    need(len({each.label for each in endpoints}) == len(endpoints), "an endpoint is given twice")
    for each in endpoints:
        _check_endpoint(study, each, need)
    for name, values in study.tune.items():
        need(name.startswith("optim."), f"tune has {name!r}; it takes fields of optim")
        need(len(values) > 0, f"tune has no values for {name!r}")
        twice = [value for value in values if list(values).count(value) > 1]
        need(not twice, f"tune has {twice[:1]} twice for {name!r}")
        for arm in study.arms:
            line = f"arm {arm.name!r} sets {name}, which is tuned: what was chosen would replace it"
            need(name not in arm.fields, line)
    need(not study.tune_once or bool(study.tune), "tune_once is set, and tune is empty")
    need(
        not study.tune or all(each.split != VALIDATION for each in endpoints),
        "tune chooses by validation error, which then cannot be the endpoint; take test",
    )


def _check_endpoint(study: "Study", endpoint: Endpoint, need: Need) -> None:
    split = endpoint.split
    need(split in SPLITS, f"endpoint is {split!r}; test, validation or train")
    own = f"endpoint {endpoint.label!r}"
    for name in endpoint.metrics:
        need(isinstance(name, str), f"{own}: {name!r} is no metric's name")
        if name == ERROR:
            continue
        by_example = split == TEST or name != "loss"
        if by_example:
            need(name != "accuracy", f"{own}: take the error, of which less is better")
            try:
                measure = measures.named([name])[name]
            except BadInputError as error:
                need(False, f"{own}: {error}")
                return
            each = isinstance(measure, measures.Mean)
            need(each, f"{own}: {name} has no value for each example; take one that has")
    up = endpoint.higher_is_better
    need(isinstance(up, bool), f"{own}: higher_is_better is {up!r}; True or False")
    if endpoint.metric in LESS:
        need(not up, f"{own}: of {endpoint.metric} less is better")
    if endpoint.metric.startswith("accuracy") and not endpoint.over:
        need(up, f"{own}: of an accuracy more is better; set higher_is_better")
    smallest = endpoint.smallest
    allowed = SHARE if study.relative or endpoint.is_error else ABOVE
    need(smallest is None or allowed.holds(smallest), f"{own}: smallest is {smallest!r}; {allowed}")
    told = smallest is not None or study.relative or endpoint.is_error
    need(told, f"{own}: smallest is unset; the study's is of errors")


def _texts(value: Any) -> bool:
    return _is_list(value) and all(isinstance(each, str) for each in value)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))
