"""What a study declares: its question, its arms, the one factor, what is held equal."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from cnn_jax import config as configs
from cnn_jax.config import Config
from cnn_jax.errors import BadInputError
from cnn_jax.experiment import complete
from cnn_jax.train.logging import TEST, TRAIN, VALIDATION

BUDGETS = ("params", "macs", "step_time")
HELD = ("params", "macs", "steps", "order", "initial")


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
        def need(good: bool, line: str) -> None:
            if not good:
                raise BadInputError(f"study {self.name!r}: {line}")

        names = [arm.name for arm in self.arms]
        need(self.seeds >= 2, f"seeds is {self.seeds}; it takes at least 2 to know their noise")
        need(0 < self.smallest < 1, f"smallest is {self.smallest}; a share such as 0.01")
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
            for held in self.held(arm):
                need(held in HELD, f"equal names {held!r}; there is {', '.join(HELD)}")
            budget = arm.match.budget if arm.match else BUDGETS[0]
            need(budget in BUDGETS, f"budget {budget!r}; there is {', '.join(BUDGETS)}")
        need(any(arm.against for arm in self.arms), "no arm is against another")
        for name in self.series.places if self.series else ():
            need(name in names, f"series places {name!r}, which is no arm")
        for name, values in self.tune.items():
            need(name.startswith("optim."), f"tune has {name!r}; it takes fields of optim")
            need(len(values) > 0, f"tune has no values for {name!r}")

    def held(self, arm: Arm) -> Sequence[str]:
        """Return what is held equal between an arm and its control."""
        return self.equal if arm.equal is None else arm.equal

    def config(self, arm: Arm, seed: int = 0) -> Config:
        """Return the arm's config with every field; raises ``BadInputError`` for a wrong one."""
        config = configs.override(self.base, ())
        if "model.name" in arm.fields:
            config.model.name = arm.fields["model.name"]
        config = complete(config)
        for name, value in arm.fields.items():
            set_field(config, name, value)
        config.seed = seed
        configs.check(config)
        return config


def set_field(config: Config, name: str, value: Any) -> None:
    """Set a field by its dotted name; raises ``BadInputError`` if there is none, or of its type."""
    known = [field for field, _ in configs.leaves(config)] + ["data.augment"]
    if name not in known:
        raise BadInputError(configs.unknown_field(name, known))
    *path, last = name.split(".")
    section: Any = config
    for part in path:
        section = section[part]
    try:
        section[last] = value
    except TypeError:
        kind = section.get_type(last).__name__
        raise BadInputError(f"config field {name!r} takes {kind}, not {value!r}") from None


def get_field(config: Config, name: str) -> Any:
    """Return the value of a field by its dotted name."""
    fields = dict(configs.leaves(config))
    if name not in fields:
        raise BadInputError(configs.unknown_field(name, list(fields)))
    return fields[name]
