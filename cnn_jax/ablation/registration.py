"""A study's plan as it was fixed before its first cell, and every change of it since.

registration.json is written before the first cell begins and may be replaced until then. From there
on another plan is an amendment: it is added with what changed and how many cells had finished, and
the report shows it. What was chosen by tuning is no change: it comes out of the plan.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypedDict

from cnn_jax import config as configs
from cnn_jax.ablation import counting, recipe
from cnn_jax.ablation.stored import CELLS, TUNING, Plan
from cnn_jax.runs import workdir
from cnn_jax.runtime import json_file
from cnn_jax.runtime.json_file import UnreadableFileError

REGISTRATION = "registration.json"
# What is printed, or follows from the rest, as the name of the data from their fingerprints.
APART = (
    *("command", "cells", "tuning", "threats", "sealed", "proofs", "data", "gradients"),
    "registered",
)
LONGEST = 60  # characters of a value that is shown


class Amendment(TypedDict):
    """A later plan: its digest, what changed in it, and the cells that had finished by then."""

    digest: str
    changed: list[str]
    finished: int


class Registration(TypedDict):
    """``plan``: field -> value of the newest plan; ``first``: the digest of the first one.

    ``late``: the cells that had finished before, of a study that an earlier version began.
    """

    first: str
    late: int
    plan: dict[str, Any]
    amendments: list[Amendment]


def fix(folder: Path, plan: Plan) -> Plan:
    """Register a plan before its cells run; return it as one that is.

    A change of a plan whose cells have begun is an amendment.

    Raises ``UnreadableFileError`` for a registration that was damaged or edited.
    """
    file, fields = folder / REGISTRATION, registered_fields(plan)
    held = json_file.find(file, Registration, "a study's registration")
    finished = len(list(folder.glob(f"{CELLS}/*/{workdir.RESULT}")))
    if held is None or not begun(folder):
        new = Registration(first=digest(fields), late=finished, plan=fields, amendments=[])
        json_file.write(file, new)
    elif digest(held["plan"]) != digest(fields):
        changed = list(_changes(held["plan"], fields))
        more = Amendment(digest=digest(fields), changed=changed, finished=finished)
        every = [*held["amendments"], more]
        first = {"first": held["first"], "late": held["late"]}
        json_file.write(file, first | {"plan": fields, "amendments": every})
    return dataclasses.replace(plan, registered=True)


def read(folder: Path) -> Registration | None:
    """Return the registration that a folder holds; None of a study of an earlier version."""
    return json_file.find(folder / REGISTRATION, Registration, "a study's registration")


def of(folder: Path, plan: Plan) -> Registration | None:
    """Return the registration of a plan that a folder holds.

    Raises ``UnreadableFileError`` for one that is damaged or was lost.
    """
    held = read(folder)
    if held is None and plan.registered:
        file = folder / REGISTRATION
        raise UnreadableFileError(file, "is missing; the plan was registered there")
    return held


def is_registered(folder: Path, plan: Plan) -> bool:
    """Return whether a plan is the newest that was registered."""
    held = read(folder)
    return held is not None and digest(held["plan"]) == digest(registered_fields(plan))


def begun(folder: Path) -> bool:
    """Return whether a cell of a study has begun, tuning's included."""
    places = [*folder.glob(f"{CELLS}/*"), *folder.glob(f"{TUNING}/{CELLS}/*")]
    return any((place / workdir.CONFIG).exists() for place in places)


def registered_fields(plan: Plan) -> dict[str, Any]:
    """Return what of a plan is fixed, as plain values."""
    held = {name: x for name, x in dataclasses.asdict(plan).items() if name not in APART}
    held["tested"] = [[proof.arm, proof.control, proof.not_worse] for proof in plan.proofs]
    arms = {}
    for arm in held.pop("arms"):
        fields = {
            name: value
            for name, value in recipe.leaves(json.loads(arm["config"]))
            if not name.startswith(configs.NEUTRAL) and name not in plan.grid
        }
        arms[arm["name"]] = {"against": arm["against"], "steps": arm["steps"], "config": fields}
    return json_file.plain(held | {"arms": arms})


def digest(fields: Mapping[str, Any]) -> str:
    """Return the digest of a plan's fixed fields."""
    return counting.digest(fields)


def _changes(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Yield what differs, a line each: its path, the old value, the new one."""
    for name in sorted({*old, *new}):
        before, after = old.get(name), new.get(name)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from _changes(before, after, f"{prefix}{name}.")
        elif before != after:
            yield f"{prefix}{name}: {_shown(before)} → {_shown(after)}"


def _shown(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 2]} …"
