"""A study's plan as it is kept: arms, proofs, cells; plan.json."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cnn_jax.ablation.arms import Contrast, Series
from cnn_jax.ablation.budget import Matched
from cnn_jax.ablation.endpoints import Endpoint
from cnn_jax.ablation.proof import Proof
from cnn_jax.data.dataset import TEST, TRAIN, VALIDATION
from cnn_jax.runtime import json_file
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.runtime.json_file import UnreadableFileError

PLAN, CELLS = "plan.json", "cells"
TUNING = "tuning"  # beneath the study's; the folder of the candidates' cells


@dataclasses.dataclass(frozen=True)
class Cell:
    """One arm with one seed.

    Attributes:
        arm: its name.
        seed: of the run.
        id: a digest of what its numbers depend on.
        steps: optimizer updates.
        lanes: the seeds that one program trains together, this one among them; empty where it is
            trained alone. They are part of the id: in lanes, sums are rounded otherwise.
    """

    arm: str
    seed: int
    id: str
    steps: int
    lanes: tuple[int, ...] = ()

    @property
    def folder(self) -> str:
        """Return the cell's folder, beneath that of the cells."""
        return f"{self.arm}-seed{self.seed}-{self.id}".replace("/", "_").replace(" ", "_")


@dataclasses.dataclass(frozen=True)
class ArmPlan:
    """An arm: its control, its network's numbers, the config of its first seed as JSON, its data.

    Plans of earlier versions lack the last two.
    """

    name: str
    against: str | None
    model: str
    params: int
    macs: int
    steps: int
    matched: Matched | None
    config: str
    image: tuple[int, ...] = ()  # height, width, channels
    parts: dict[str, int] = dataclasses.field(default_factory=dict)  # of its data -> examples


@dataclasses.dataclass(frozen=True)
class Candidate:
    """Values that an arm tried; ``error`` on validation data, None where the run failed.

    ``seed`` is the study's that they were tried for; None: one tuning serves all of them.
    """

    arm: str
    fields: dict[str, Any]
    error: float | None
    chosen: bool
    seed: int | None = None


@dataclasses.dataclass(frozen=True)
class Plan:
    """Everything that a report needs apart from what the cells measure.

    Plans of earlier versions end with ``sealed``; what follows has the values that they meant, but
    for ``tune_once``.

    Attributes:
        sealed: whether the cells leave the test set closed, since they choose something.
        looks: the numbers of seeds after which verdicts may fall; empty: at all of them.
        endpoints: what decides; empty: the error of the split ``endpoint``.
        contrasts: weighted sums of arms that are judged.
        relative: whether ``smallest`` is a share of the control's value.
        at_chance: the training error from which on a run did not train; None: no bound.
        grid: fields that are tuned -> the values tried.
        tune_once: whether one tuning serves all seeds.
        spread: the standard deviation of one seed's difference in a pilot study, if declared.
        exploratory: why the study is not the one that was declared; empty where it is.
        registered: whether it was, so that a missing registration.json was lost.
    """

    name: str
    question: str
    hypothesis: str
    preset: str
    data: str
    endpoint: str
    smallest: float
    threats: tuple[str, ...]
    gradients: bool
    seeds: tuple[int, ...]
    arms: tuple[ArmPlan, ...]
    proofs: tuple[Proof, ...]
    cells: tuple[Cell, ...]
    code: str
    fingerprints: dict[str, str]
    command: str
    series: Series | None = None
    tuning: tuple[Candidate, ...] = ()
    sealed: bool = False
    looks: tuple[int, ...] = ()
    endpoints: tuple[Endpoint, ...] = ()
    contrasts: tuple[Contrast, ...] = ()
    relative: bool = False
    at_chance: float | None = None
    grid: dict[str, tuple[Any, ...]] = dataclasses.field(default_factory=dict)
    tune_once: bool = False
    spread: float | None = None
    exploratory: str = ""
    registered: bool = False

    def __post_init__(self):
        if not self.endpoints:
            object.__setattr__(self, "endpoints", (Endpoint(split=self.endpoint),))

    @property
    def kept(self) -> tuple[str, ...]:
        """The metrics whose value of every test example a cell keeps."""
        return tuple(dict.fromkeys(name for each in self.endpoints for name in each.kept))

    def write(self, folder: Path) -> None:
        """Keep the plan in the study's folder."""
        json_file.write(folder / PLAN, dataclasses.asdict(self))

    @classmethod
    def read(cls, folder: Path) -> "Plan":
        """Return the plan kept in a study's folder.

        Raises:
            BadInputError: there is none, or it is damaged (``UnreadableFileError``).
        """
        file = folder / PLAN
        if not file.exists():
            raise BadInputError(f"--workdir: {str(folder)!r} holds no study (no {PLAN})")
        held: Any = json_file.read(file, Plan, "a study's plan")
        for name in (json_file.FORMAT, json_file.DIGEST):
            held.pop(name, None)
        plan = _restored(held)
        if (wrong := _inconsistency(plan)) is not None:
            raise UnreadableFileError(file, f"is not a study's plan, or a damaged one: {wrong}")
        return plan


def _restored(held: dict[str, Any]) -> Plan:
    """Return the plan of which ``held`` is the JSON, whose lists were tuples."""
    known = {field.name for field in dataclasses.fields(Plan)}
    held = {name: value for name, value in held.items() if name in known}
    arms = [
        ArmPlan(
            **arm
            | {"matched": Matched(**arm["matched"]) if arm["matched"] else None}
            | {"image": tuple(arm.get("image", ()))}
        )
        for arm in held.pop("arms")
    ]
    proofs = tuple(
        Proof(**proof | {"held": _tuple(proof.get("held")), "steps": tuple(proof["steps"])})
        for proof in held.pop("proofs")
    )
    cells = tuple(Cell(**cell | {"lanes": tuple(cell["lanes"])}) for cell in held.pop("cells"))
    tuning = tuple(Candidate(**each) for each in held.pop("tuning", ()))
    if tuning and "tune_once" not in held:
        held["tune_once"] = True  # so it was before seeds tuned each for itself
    held["endpoints"] = tuple(Endpoint(**each) for each in held.get("endpoints", ()))
    held["contrasts"] = tuple(Contrast(**each) for each in held.get("contrasts", ()))
    held["looks"] = tuple(held.get("looks", ()))
    held["grid"] = {name: tuple(values) for name, values in held.get("grid", {}).items()}
    sequences = {name: tuple(held.pop(name)) for name in ("threats", "seeds")}
    if (series := held.pop("series", None)) is not None:
        places = {arm: (line, number) for arm, (line, number) in series["places"].items()}
        held["series"] = Series(series["label"], places)
    return Plan(arms=tuple(arms), proofs=proofs, cells=cells, tuning=tuning, **sequences, **held)


def _tuple(value: Any) -> Any:
    return None if value is None else tuple(value)


def _inconsistency(plan: Plan) -> str | None:
    """Return what does not fit together in a plan that was read, or None."""
    names = {arm.name for arm in plan.arms}
    for arm in plan.arms:
        try:
            config = json.loads(arm.config)
            batch_size, seed = config["data"]["batch_size"], config["seed"]
        except (ValueError, TypeError, KeyError):
            return f"the config of arm {arm.name!r}"
        if not all(isinstance(n, int) for n in (batch_size, seed)):
            return f"the config of arm {arm.name!r}"
    for named in (
        *(cell.arm for cell in plan.cells),
        *(each.arm for each in plan.tuning),
        *(name for proof in plan.proofs for name in (proof.arm, proof.control)),
        *(name for each in plan.contrasts for name in each.weights),
        *(plan.series.places if plan.series else ()),
    ):
        if named not in names:
            return f"there is no arm {named!r}"
    for split in (plan.endpoint, *(each.split for each in plan.endpoints)):
        if split not in (TEST, VALIDATION, TRAIN):
            return f"endpoint is {split!r}"
    if plan.looks and (list(plan.looks) != sorted(plan.looks) or plan.looks[-1] != len(plan.seeds)):
        return f"looks is {list(plan.looks)}"
    if not {cell.seed for cell in plan.cells} <= set(plan.seeds):
        return "cells of other seeds"
    return None


def cells_of(plan: Plan, arm: str) -> Sequence[Cell]:
    """Return an arm's cells, by seed."""
    return [cell for cell in plan.cells if cell.arm == arm]
