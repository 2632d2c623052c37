"""What a study compares: arms, budgets to match, contrasts of several arms, arms along a number."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any


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
        not_worse: those of its controls than which the hypothesis calls it *not worse*; the
            verdict may then say so, where it is neither better nor equivalent.
    """

    name: str
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    against: str | None = None
    factor: Sequence[str] = ()
    match: Match | None = None
    equal: Sequence[str] | None = None
    also: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    not_worse: Sequence[str] = ()

    def comparisons(self) -> list["Arm"]:
        """Return the arm once for each of its controls."""
        if self.against is None:
            return []
        further = [
            Arm(self.name, self.fields, control, factor, not_worse=self.not_worse)
            for control, factor in self.also.items()
        ]
        return [self, *further]


@dataclasses.dataclass(frozen=True)
class Contrast:
    """A weighted sum of arms that is judged as a comparison is, such as an interaction.

    Whether depth hurts a plain network more than a residual one is the contrast
    ``{"plain 56": 1, "plain 20": -1, "residual 56": -1, "residual 20": 1}``: below zero it is
    *better*, where less is better.

    Attributes:
        name: for tables.
        weights: arm -> its weight; they sum to 0.
        smallest: the smallest sum that matters; None takes the study's.
        not_worse: whether the hypothesis calls it *not worse*.
    """

    name: str
    weights: Mapping[str, float]
    smallest: float | None = None
    not_worse: bool = False


@dataclasses.dataclass(frozen=True)
class Series:
    """The number that arms lie along; the report then shows lines, and where they cross.

    Attributes:
        label: what the number is.
        places: arm -> (its line, its number); arms that are left out belong to no line.
    """

    label: str
    places: Mapping[str, tuple[str, float]]
