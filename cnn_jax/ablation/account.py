"""Where the report's numbers come from: differences, what was chosen, threats, how to rerun."""

import json
from collections.abc import Sequence

from cnn_jax.ablation import tuning as choosing
from cnn_jax.ablation.decisions import INCONCLUSIVE
from cnn_jax.ablation.markdown import bullets, table
from cnn_jax.ablation.outcomes import Outcomes
from cnn_jax.ablation.proof import Proof
from cnn_jax.ablation.registration import Registration, digest, registered_fields
from cnn_jax.ablation.stored import Plan
from cnn_jax.ablation.verdicts import Verdict

HELD = {
    "params": "parameters",
    "macs": "MACs",
    "steps": "steps",
    "order": "order of the data",
    "initial": "initial weights where path and shape agree",
}


def proofs(plan: Plan) -> str:
    """Return the one-factor proofs."""
    return "\n\n".join(_proof(proof) for proof in plan.proofs)


def _proof(proof: Proof) -> str:
    fields = (f"`{name}` {_code(a)} → {_code(b)}" for name, (a, b) in proof.fields.items())
    lines = [f"config: {'; '.join(fields)}"]
    kinds = "; ".join(f"{kind} {a} → {b}" for kind, (a, b) in proof.kinds.items())
    lines.append(f"layers: {kinds or 'the same number of each kind'}")
    trees = [
        f"only in `{proof.control}`: {_paths(proof.only_control)}" if proof.only_control else "",
        f"only in `{proof.arm}`: {_paths(proof.only_arm)}" if proof.only_arm else "",
        f"of other shapes: {_paths(proof.reshaped)}" if proof.reshaped else "",
        f"of one shape and other bits: {_paths(proof.different)}" if proof.different else "",
    ]
    shared = (
        f"{proof.identical} start from the same bits in both ({proof.drawn} of them drawn, the "
        "others constant)"
    )
    lines.append("tensors: " + "; ".join([shared, *filter(None, trees)]))
    before, after = proof.steps
    lines.append(f"steps: {before} → {after}" if before != after else f"steps: {before} in both")
    if proof.held is not None:
        held = ", ".join(HELD[name] for name in proof.held)
        lines.append(f"held equal and checked: {held or 'nothing'}")
    return f"`{proof.arm}` against `{proof.control}`\n\n" + bullets(lines)


def tuning(plan: Plan) -> str:
    """Return what was chosen: every candidate with its validation error, means over seeds."""
    rows = []
    for arm in plan.arms:
        own = [each for each in plan.tuning if each.arm == arm.name]
        for fields in {json.dumps(each.fields): each.fields for each in own}.values():
            same = [each for each in own if each.fields == fields]
            text = ", ".join(f"`{name}` {value}" for name, value in fields.items())
            errors = [each.error for each in same if each.error is not None]
            shown = f"{100 * sum(errors) / len(errors):.2f}" if errors else "failed"
            lost = len(same) - len(errors)
            shown += f" ({lost} failed)" if lost and errors else ""
            times = sum(each.chosen for each in same)
            chosen = ("chosen" if times else "") if plan.tune_once else f"{times} of {len(same)}"
            rows.append([arm.name, text, shown, chosen])
    text = cost(plan) + " The candidates' runs had no test set."
    edges = [
        f"`{arm}` took `{name}` {value}, the end of what was tried, {times} "
        f"time{'s' * (times != 1)}: the best may lie beyond."
        for (arm, name, value), times in choosing.at_edge(plan).items()
    ]
    listed = f"\n\n{bullets(edges)}" if edges else ""
    head = ["arm", "candidate", "validation error (%)", "chosen"]
    return f"{text}\n\n{table(head, rows)}{listed}"


def cost(plan: Plan) -> str:
    """Return what is tuned and what it costs; empty where nothing is."""
    many = len(choosing.candidates(plan)) if plan.grid else 0
    if plan.tuning and not plan.grid:  # of an earlier version, which did not keep what is tried
        many = len(plan.tuning) // len(plan.arms)
    if not many:
        return ""
    seeds, arms = len(plan.seeds), len(plan.arms)
    several = f"{many} candidate{'s' * (many != 1)}"
    same = f"Each arm tries the same {several} and takes"
    if plan.tune_once:
        return (
            f"{same} the one with the lowest validation error, once for all seeds: the verdicts "
            f"are conditional on it. {arms} arms x ({seeds} seeds + {several}) = "
            f"{arms * (seeds + many)} runs."
        )
    return (
        f"{same} for each seed the one with the lowest validation error, by runs with seeds and "
        "validation cuts of their own; what is compared is to tune over this grid, then to train. "
        f"{arms} arms x {seeds} seeds x ({several} + 1) = {arms * seeds * (many + 1)} runs."
    )


def registration(plan: Plan, held: Registration | None) -> str:
    """Return when the plan was fixed, and what was changed since."""
    if held is None:
        return "**Registration.** None: the study was begun by an earlier version."
    first = f"**Registration.** Plan {held['first']} was fixed before the first cell"
    if held["late"]:
        first = f"**Registration.** Plan {held['first']} was fixed when {held['late']} cells had "
        first += "finished"
    lines = [
        f"amendment {index}, after {each['finished']} finished cells: {'; '.join(each['changed'])}"
        for index, each in enumerate(held["amendments"], 1)
    ]
    if digest(held["plan"]) != digest(registered_fields(plan)):
        lines.append("what is reported here is another plan than the newest registered one")
    if not lines:
        return f"{first} and has not been changed."
    return f"{first}. **It was changed since:**\n\n{bullets(lines)}"


def threats(plan: Plan, outcomes: Outcomes, verdicts: Sequence[Verdict]) -> str:
    """Return what the study itself declares, and what its numbers say."""
    lines = list(plan.threats)
    if plan.preset == "smoke":
        lines.append("This is the smoke preset: it shows that the study works, not what is true.")
    sizes = {len(o.right) for a in outcomes.values() for o in a.values() if len(o.right)}
    if sizes:
        least = min(sizes)
        lines.append(f"{least:,} test examples: one of them is {100 / least:.2f} points.")
    if len(plan.seeds) < 5:
        lines.append(f"{len(plan.seeds)} seeds: only large differences can be told from noise.")
    reshaped = [proof.arm for proof in plan.proofs if proof.reshaped]
    if reshaped:
        lines.append(
            "Tensors of other shapes cannot start from the same values, so seeds pair less in: "
            + ", ".join(reshaped)
            + "."
        )
    if plan.tuning:
        names = ", ".join(f"`{name}`" for name in plan.tuning[0].fields)
        lines.append(f"One data set; of the hyper-parameters only {names} was tuned for each arm.")
    else:
        lines.append("One data set, and hyper-parameters that were not tuned for each arm.")
    if any(each.verdict == INCONCLUSIVE for each in verdicts):
        lines.append("An inconclusive comparison is no evidence that there is no difference.")
    return bullets(lines)


def provenance(plan: Plan, outcomes: Outcomes, earlier: tuple[int, int] = (0, 0)) -> str:
    """Return the command, versions, seeds, devices and the count of looks at the test set."""
    cells = [outcome for each in outcomes.values() for outcome in each.values()]
    lines = [f"code {plan.code}, data {', '.join(sorted(set(plan.fingerprints.values())))}"]
    lines.append(f"seeds {', '.join(map(str, plan.seeds))}")
    for name, values in (
        ("commit", {str(each.result["git"]) for each in cells}),
        ("devices", {", ".join(each.result["devices"]) for each in cells}),
        (
            "versions",
            {", ".join(f"{k} {v}" for k, v in e.result["versions"].items()) for e in cells},
        ),
    ):
        if values:
            lines.append(f"{name}: {' | '.join(sorted(values))}")
    for seeds in sorted({cell.lanes for cell in plan.cells if cell.lanes}):
        names = ", ".join(map(str, seeds))
        lines.append(f"seeds {names} of an arm trained in lanes of one program")
    lines.append(_openings(plan, outcomes, earlier))
    if cells:
        seconds = sum(each.result["seconds"] / each.result.get("lanes", 1) for each in cells)
        lines.append(f"training took {seconds / 60:.1f} minutes over all cells")
    return f"    {plan.command}\n\n" + bullets(lines)


def _openings(plan: Plan, outcomes: Outcomes, earlier: tuple[int, int]) -> str:
    """Return how often the test set was opened, as the cells' own logs have it."""
    opened = {
        f"{arm} seed {seed}": each.opened
        for arm, seeds in outcomes.items()
        for seed, each in seeds.items()
    }
    text = f"The test set was opened {sum(opened.values())} times by {len(opened)} cells"
    before = ""
    if earlier[1]:
        before = (
            f" Other runs in this folder, such as cells of earlier designs, opened it too: "
            f"{earlier[1]} times by {earlier[0]} of them."
        )
    again = [f"{name} {times} times" for name, times in opened.items() if times != 1]
    if again:
        return f"{text}; **not once each**: {', '.join(again)}.{before}"
    chosen = "; what was chosen was chosen by validation error." if plan.tuning else "."
    return f"{text}, once each at its end{chosen}{before}"


def _code(value: object) -> str:
    return "-" if value is None else f"`{value}`"


def _paths(paths: Sequence[str], most: int = 6) -> str:
    shown = ", ".join(f"`{path}`" for path in paths[:most])
    return shown + (f" and {len(paths) - most} more" if len(paths) > most else "")
