"""Where the report's numbers come from: differences, what was chosen, threats, how to rerun."""

from collections.abc import Sequence

from cnn_jax.ablation.markdown import bullets, table
from cnn_jax.ablation.proof import Proof
from cnn_jax.ablation.stored import Plan
from cnn_jax.ablation.verdicts import INCONCLUSIVE, Outcomes, Verdict

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
    """Return every candidate with its validation error."""
    rows = []
    for each in plan.tuning:
        fields = ", ".join(f"`{name}` {value}" for name, value in each.fields.items())
        error = "failed" if each.error is None else f"{100 * each.error:.2f}"
        rows.append([each.arm, fields, error, "chosen" if each.chosen else ""])
    many = len(plan.tuning) // len(plan.arms)
    text = (
        f"Each arm tried the same {many} candidates on seed {plan.seeds[0]} before the cells ran "
        "and took the one with the lowest validation error. These runs had no test set."
    )
    return f"{text}\n\n{table(['arm', 'candidate', 'validation error (%)', ''], rows)}"


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
            f" Cells of earlier designs in this folder opened it too: {earlier[1]} times by "
            f"{earlier[0]} of them."
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
