"""What a study declares: its question, its arms, the one factor, what is held equal."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from cnn_jax import config as configs
from cnn_jax.ablation import declared
from cnn_jax.ablation.arms import Arm, Contrast, Series
from cnn_jax.ablation.endpoints import Endpoint
from cnn_jax.config import Config, set_field
from cnn_jax.data.dataset import TEST
from cnn_jax.runs.experiment import complete
from cnn_jax.runtime.errors import BadInputError


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
        looks: numbers of seeds after which verdicts may fall, growing, the last one ``seeds``; arms
            with nothing open get no more seeds. Empty: one look, at all of them.
        endpoint: what decides: a split whose error it is, an ``Endpoint``, or a list of both, which
            are all judged.
        smallest: the smallest difference in error that matters, as a share (0.01: one point).
        relative: whether ``smallest`` is a share of the control's value instead (0.1: a tenth).
        contrasts: weighted sums of arms that are judged beside the comparisons.
        at_chance: the training error (a share) from which on a run counts as one that did not
            train; None: only one that diverged does.
        equal: what is held equal between an arm and its control: of ``params``, ``macs``,
            ``steps``, ``order`` (of the data), ``initial`` (weights where path and shape agree).
        threats: what a reader should doubt, for the report.
        gradients: whether each cell keeps its gradient norms by block.
        series: the number that arms lie along, if they do.
        tune: fields of ``optim`` -> values, of which each arm takes the combination with the lowest
            validation error; every arm tries all of them, again for each seed.
        tune_once: tune with one seed for all: cheaper, and every verdict is then conditional on
            what that seed chose.
        spread: the standard deviation of one seed's difference, of a pilot study; the plan then
            announces the power.
    """

    name: str
    question: str
    hypothesis: str
    base: Config
    arms: Sequence[Arm]
    seeds: int = 5
    looks: Sequence[int] = ()
    endpoint: str | Endpoint | Sequence[str | Endpoint] = TEST
    smallest: float = 0.01
    relative: bool = False
    contrasts: Sequence[Contrast] = ()
    at_chance: float | None = None
    equal: Sequence[str] = ("steps", "order", "initial")
    threats: Sequence[str] = ()
    gradients: bool = False
    series: Series | None = None
    tune: Mapping[str, Sequence[Any]] = dataclasses.field(default_factory=dict)
    tune_once: bool = False
    spread: float | None = None

    def __post_init__(self):
        def need(good: bool, line: str) -> None:
            if not good:
                raise BadInputError(f"study {self.name!r}: {line}")

        declared.check_types(self, need)
        declared.check_arms(self, need)
        declared.check_rules(self, need)

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """What decides."""
        given = self.endpoint
        several = (given,) if isinstance(given, (str, Endpoint)) else tuple(given)
        return tuple(Endpoint(split=x) if isinstance(x, str) else x for x in several)

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


def get_field(config: Config, name: str) -> Any:
    """Return the value of a field by its dotted name."""
    fields = dict(configs.leaves(config))
    if name not in fields:
        raise BadInputError(configs.unknown_field(name, list(fields)))
    return fields[name]
