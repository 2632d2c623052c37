"""The recipe that a study's networks were trained by: data, and every field that is set."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from cnn_jax import config as configs
from cnn_jax.ablation.markdown import bullets
from cnn_jax.ablation.stored import Plan

UNSET = (None, [], {}, "")
# Besides the neutral fields: what is logged, evaluated or kept on the way changes no network.
ASIDE = (*configs.NEUTRAL, "seed", "eval.every", "train.native", "data.on_error")


def describe(plan: Plan) -> str:
    """Return the data, the fields that all arms share, and those in which each arm differs."""
    fields = {arm.name: _fields(arm.config) for arm in plan.arms}
    for own in fields.values():  # what seeds choose each for itself has no one value
        own |= {} if plan.tune_once else dict.fromkeys(plan.grid, "tuned")
    names = list(dict.fromkeys(name for each in fields.values() for name in each))
    shared = [
        name
        for name in names
        if all(each.get(name) == fields[plan.arms[0].name].get(name) for each in fields.values())
    ]
    lines = _data(plan)
    sections = dict.fromkeys(name.partition(".")[0] for name in shared)
    for section in sections:
        own = [name for name in shared if name.partition(".")[0] == section]
        text = _listed(fields[plan.arms[0].name], own, section)
        lines += [f"{section}, all arms: {text}"] if text else []
    for arm in plan.arms:
        own = [name for name in names if name not in shared]
        text = _listed(fields[arm.name], own)
        lines += [f"`{arm.name}`: {text}"] if text else []
    return bullets(lines)


def _data(plan: Plan) -> list[str]:
    """Return the data sets with their sizes and fingerprints, and which arms have them."""
    found: dict[str, list[str]] = {}
    for arm in plan.arms:
        text = plan.data
        if arm.parts:
            shape = "x".join(map(str, arm.image))
            parts = ", ".join(f"{count:,} {part}" for part, count in arm.parts.items())
            text += f", {parts} images of {shape}"
        if (fingerprint := plan.fingerprints.get(arm.name)) is not None:
            text += f", fingerprint {fingerprint}"
        found.setdefault(text, []).append(arm.name)
    if len(found) == 1:
        return [f"images: {text}" for text in found]
    return [f"images of {', '.join(f'`{a}`' for a in arms)}: {t}" for t, arms in found.items()]


def _listed(fields: Mapping[str, Any], names: list[str], section: str = "") -> str:
    """Return fields with their values, unset ones left out; the section's name is not repeated."""
    shown = [(name, fields[name]) for name in names if fields.get(name) not in UNSET]
    return ", ".join(f"{name.removeprefix(f'{section}.')} `{value}`" for name, value in shown)


def _fields(config: str) -> dict[str, Any]:
    """Return dotted name -> value of what a config sets that decides what a network becomes."""
    held = json.loads(config)
    if not held.get("init", {}).get("source"):
        held.pop("init", None)
    return {name: value for name, value in leaves(held) if not name.startswith(ASIDE)}


def leaves(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, value) of every field of a config as JSON; transforms stay whole."""
    for name, value in config.items():
        if isinstance(value, dict) and prefix + name != "data.augment":
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
