"""What a study declares: its question, its arms, the one factor, what is held equal."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from cnn_jax import config as configs
from cnn_jax.config import Config, set_field
from cnn_jax.data.dataset import TEST, TRAIN, VALIDATION
from cnn_jax.runs.experiment import complete
from cnn_jax.runtime import ranges
from cnn_jax.runtime.errors import BadInputError

BUDGETS = ("params", "macs", "step_time")
HELD = ("params", "macs", "steps", "order", "initial")
SEEDS = ranges.whole(2, high=10_000)
SHARE = ranges.inside(0, 1)
NEAR = ranges.at_least(0, high=1)
LONGEST = 100  # characters of an arm's name, which is part of its cells' folders' names


@dataclasses.dataclass(frozen=True)
class Match:
    """Adjust an arm until it costs what its control costs.

    Attributes:
        budget: what is made equal: ``params``, ``macs`` (of one image; of the whole training if
            ``by`` is ``train.steps``) or ``step_time``, measured.
        by: the config field that is adjusted: a width, a tuple of widths or depths, the steps.
        tolerance: how far the budgets may stay apart, as a share of the control's.
    """

    budget: str
    by: str
    tolerance: float = 0.01


@dataclasses.dataclass(frozen=True)
class Arm:
    """One treatment.

    Attributes:
        name: unique in the study, for folders, tables and plots.
        fields: config field -> value, what it sets on the study's base.
        against: the control that it is compared with; None for a control.
        factor: the fields that may differ between the two, beside the one that ``match`` adjusts.
        match: the budget to bring to the control's.
        equal: what is held equal between the two; None takes the study's.
        also: further controls, each with the fields in which it may differ from the arm.
    """

    name: str
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    against: str | None = None
    factor: Sequence[str] = ()
    match: Match | None = None
    equal: Sequence[str] | None = None
    also: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)

    def comparisons(self) -> list["Arm"]:
        """Return the arm once for each of its controls."""
        if self.against is None:
            return []
        further = [
            Arm(self.name, self.fields, against=control, factor=factor)
            for control, factor in self.also.items()
        ]
        return [self, *further]


@dataclasses.dataclass(frozen=True)
class Series:
    """The number that arms lie along; the report then shows lines, and where they cross.

    Attributes:
        label: what the number is.
        places: arm -> (its line, its number); arms that are left out belong to no line.
    """

    label: str
    places: Mapping[str, tuple[str, float]]


@dataclasses.dataclass(frozen=True)
class Study:
    """A declaration; ``command.main`` makes a program of it.

    Attributes:
        name: of the study.
        question: one or two sentences.
        hypothesis: what is expected, and of which measured quantity.
        base: the config that all arms start from.
        arms: controls before what is compared with them.
        seeds: how many; they are 0, 1, 2, ... and shared by all arms, which pairs them.
        endpoint: the split whose error decides: test, validation or train.
        smallest: the smallest difference in error that matters, as a share (0.01: one point).
        equal: what is held equal between an arm and its control: of ``params``, ``macs``,
            ``steps``, ``order`` (of the data), ``initial`` (weights where path and shape agree).
        threats: what a reader should doubt, for the report.
        gradients: whether each cell keeps its gradient norms by block.
        series: the number that arms lie along, if they do.
        tune: fields of ``optim`` -> values, of which each arm takes the combination with the lowest
            validation error of the first seed; every arm tries all of them, before the cells run.
    """

    name: str
    question: str
    hypothesis: str
    base: Config
    arms: Sequence[Arm]
    seeds: int = 5
    endpoint: str = TEST
    smallest: float = 0.01
    equal: Sequence[str] = ("steps", "order", "initial")
    threats: Sequence[str] = ()
    gradients: bool = False
    series: Series | None = None
    tune: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        need = partial(_need, f"study {self.name!r}")
        _check_types(self, need)
        names = [arm.name for arm in self.arms]
        need(SEEDS.holds(self.seeds), f"seeds is {self.seeds!r}; {SEEDS}, to know their noise")
        need(SHARE.holds(self.smallest), f"smallest is {self.smallest!r}; {SHARE}: 0.01 is a point")
        need(
            self.endpoint in (TEST, VALIDATION, TRAIN),
            f"endpoint is {self.endpoint!r}; test, validation or train",
        )
        for index, arm in enumerate(self.arms):
            need(names.count(arm.name) == 1, f"two arms are called {arm.name!r}")
            before = names[:index]
            for each in arm.comparisons():
                need(
                    each.against in before,
                    f"arm {arm.name!r} is against {each.against!r}, which is no arm before it",
                )
            need(
                arm.against is not None or (arm.match is None and not arm.also),
                f"arm {arm.name!r} has no control: match and also need against",
            )
            need(
                "seed" not in arm.fields,
                f"arm {arm.name!r} sets seed; all arms share the study's seeds, which pairs them",
            )
            for held in self.held(arm):
                need(held in HELD, f"equal names {held!r}; there is {', '.join(HELD)}")
            if arm.match is not None:
                budget, near = arm.match.budget, arm.match.tolerance
                need(budget in BUDGETS, f"budget {budget!r}; there is {', '.join(BUDGETS)}")
                need(NEAR.holds(near), f"tolerance is {near!r}; {NEAR}")
        need(any(arm.against for arm in self.arms), "no arm is against another")
        for name in self.series.places if self.series else ():
            need(name in names, f"series places {name!r}, which is no arm")
        for name, values in self.tune.items():
            need(name.startswith("optim."), f"tune has {name!r}; it takes fields of optim")
            need(len(values) > 0, f"tune has no values for {name!r}")
        need(
            not self.tune or self.endpoint != VALIDATION,
            "tune chooses by validation error, which then cannot be the endpoint; take test",
        )

    def held(self, arm: Arm) -> Sequence[str]:
        """Return what is held equal between an arm and its control."""
        return self.equal if arm.equal is None else arm.equal

    def config(self, arm: Arm, seed: int = 0) -> Config:
        """Return the arm's config with every field; raises ``BadInputError`` for a wrong one."""
        config = configs.override(configs.whole(self.base), ())
        if "model.name" in arm.fields:
            config.model.name = arm.fields["model.name"]
        config = complete(config)
        for name, value in arm.fields.items():
            set_field(config, name, value)
        configs.choose_length(config, [n for n, value in arm.fields.items() if value is not None])
        config.seed = seed
        configs.check(config)
        return config


def _need(where: str, good: bool, line: str) -> None:
    if not good:
        raise BadInputError(f"{where}: {line}")


def _check_types(study: Study, need: Callable[[bool, str], None]) -> None:
    """Check what a declaration is made of, so that what reads it may rely on it."""

    def texts(value: Any) -> bool:
        return _is_list(value) and all(isinstance(each, str) for each in value)

    need(isinstance(study.name, str) and bool(study.name), "a study has a name")
    complete = all(hasattr(study.base, section) for section in ("model", "data", "optim", "train"))
    need(complete, f"base is {study.base!r:.60}; a config of base_config()")
    need(_is_list(study.arms), f"arms is {study.arms!r:.60}; a list of Arm")
    need(texts(study.equal), f"equal is {study.equal!r}; a list of {', '.join(HELD)}")
    need(texts(study.threats), f"threats is {study.threats!r:.60}; a list of sentences")
    need(isinstance(study.tune, Mapping), f"tune is {study.tune!r:.60}; field -> values")
    for name, values in study.tune.items():
        need(_is_list(values), f"tune has {values!r} for {name!r}; a list of values")
    for arm in study.arms:
        need(isinstance(arm, Arm), f"arms holds {arm!r:.60}; a list of Arm")
        need(
            isinstance(arm.name, str) and arm.name.isprintable() and 0 < len(arm.name) <= LONGEST,
            f"an arm is called {arm.name!r:.60}; a name has 1 to {LONGEST} printable characters",
        )
        own = f"arm {arm.name!r}: "
        for what, fields in (("fields", arm.fields), ("also", arm.also)):
            good = isinstance(fields, Mapping) and texts(list(fields))
            need(good, f"{own}{what} is {fields!r:.60}; a dict by names")
        listed = {"factor": arm.factor, "equal": study.held(arm)}
        listed |= {f"also[{control!r}]": factor for control, factor in arm.also.items()}
        for what, value in listed.items():
            need(texts(value), f"{own}{what} is {value!r:.60}; a list of names")
        if arm.match is not None:
            good = isinstance(arm.match, Match) and isinstance(arm.match.by, str)
            need(good, f"{own}match is {arm.match!r:.60}; Match(budget, field)")
    if study.series is not None:
        need(isinstance(study.series, Series), f"series is {study.series!r:.60}; a Series")
        for name, place in study.series.places.items():
            good = isinstance(place, (tuple, list)) and len(place) == 2
            good = good and isinstance(place[0], str) and ranges.at_least(-math.inf).holds(place[1])
            need(good, f"series places {name!r} at {place!r:.60}; (line, number)")


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def get_field(config: Config, name: str) -> Any:
    """Return the value of a field by its dotted name."""
    fields = dict(configs.leaves(config))
    if name not in fields:
        raise BadInputError(configs.unknown_field(name, list(fields)))
    return fields[name]
