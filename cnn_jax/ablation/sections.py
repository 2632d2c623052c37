"""The sections of report.md, as text."""

import json
import textwrap
from collections.abc import Iterable, Sequence

import numpy as np

from cnn_jax.ablation import series, stats
from cnn_jax.ablation.cells import Outcome
from cnn_jax.ablation.plan import ArmPlan, Plan
from cnn_jax.ablation.proof import Proof
from cnn_jax.ablation.verdicts import INCONCLUSIVE, Outcomes, Verdict, error
from cnn_jax.train.logging import TEST, TRAIN, VALIDATION

METHOD = """\
Differences are of errors, arm minus control, in percentage points; below zero the arm is better.
Seeds pair the arms: a seed gives both the same order of the data and, where path and shape agree,
the same initial weights. {samples} The interval is a 95 % one for each comparison by itself;
p-values are adjusted for {comparisons} (Holm). *better* or *worse*: adjusted p below 0.05.
*equivalent*: two one-sided tests (TOST, adjusted likewise) put the difference below {smallest}
points, the smallest that was declared to matter, whichever sign it has. *inconclusive*: neither,
or a seed is missing. How the interval was chosen, and how often it covers:
`cnn_jax/ablation/stats.py`."""
BOTH = """\
The interval counts two sources of noise, the seeds and the choice of test examples (from each
example's outcome in every cell), so it speaks of new seeds and of new examples."""
SEEDS = """\
The interval counts the seeds' noise: {split} error is a statement about the {split} images at
hand."""

CROSSINGS = """\
Between two measured numbers each seed's and test example's difference is taken to change linearly
(in the logarithm where the axis is one); the interval holds the places around the crossing where
'no difference' is not excluded at 5 %."""


def render(
    plan: Plan,
    outcomes: Outcomes,
    verdicts: Sequence[Verdict],
    failures: Sequence[str],
    drawn: Sequence[str],
) -> str:
    """Return report.md."""
    done = sum(len(each) for each in outcomes.values())
    state = f"{done} of {len(plan.cells)} cells are finished."
    parts = [
        f"# {plan.name}, preset {plan.preset}",
        f"**Question.** {plan.question}",
        f"**Hypothesis.** {plan.hypothesis}",
        "## Verdicts",
        f"{state} Endpoint: {plan.endpoint} error. Data: {plan.data}. "
        f"Seeds: {', '.join(map(str, plan.seeds))}.",
        verdict_table(verdicts),
        *(_picture(drawn, "series", f"error by {plan.series.label}" if plan.series else "")),
        crossings(plan, outcomes),
        *(_picture(drawn, "differences", "differences with their intervals")),
        _method(plan, len(verdicts)),
        "## Arms",
        arms_table(plan, outcomes),
        *(_picture(drawn, "endpoint", "the endpoint of every seed")),
        results_table(plan, outcomes),
        *(_picture(drawn, "curves", "learning curves, bands from the least to the largest seed")),
        *(_picture(drawn, "cost", "cost against quality")),
        *(_picture(drawn, "gradients", "gradient norms by block")),
        *(["## What was chosen for each arm", tuning(plan)] if plan.tuning else []),
        "## What differs between the arms, and nothing else",
        proofs(plan),
        "## Threats",
        threats(plan, outcomes, verdicts),
        "## How to run it again",
        provenance(plan, outcomes),
    ]
    if failures:
        parts[5:5] = ["**Failed cells** (`--retry` tries them again):", _list(failures)]
    return "\n\n".join(part.strip("\n") for part in parts if part) + "\n"


def sentence(verdict: Verdict) -> str:
    """Return a verdict in one line."""
    if verdict.missing:
        return f"{INCONCLUSIVE}: {_missing(verdict.missing)}"
    assert verdict.found is not None
    low, high = (100 * float(end) for end in verdict.found.interval())
    text = f"{verdict.verdict}, {100 * float(verdict.found.mean):+.2f} points"
    return f"{text} (95 % interval {low:+.2f} to {high:+.2f})"


def verdict_table(verdicts: Sequence[Verdict]) -> str:
    """Return the comparisons with difference, interval, p-values and verdict."""
    rows = []
    for each in verdicts:
        if each.found is None:
            rows.append([each.arm, each.control, "-", "-", "-", "-", "-", f"**{each.verdict}**"])
            rows[-1].append(_missing(each.missing))
            continue
        low, high = (100 * float(end) for end in each.found.interval())
        seeds_share = each.found.seed_variance / each.found.seeds / each.found.variance
        rows.append(
            [
                each.arm,
                each.control,
                f"{100 * float(each.found.mean):+.2f}",
                f"{low:+.2f} … {high:+.2f}",
                f"{float(seeds_share):.0%}",
                _p(each.p_different),
                _p(each.p_equivalent),
                f"**{each.verdict}**",
                _outlook(each),
            ]
        )
    head = [
        *("arm", "control", "difference", "95 % interval", "of its variance from seeds"),
        *("p, different", "p, equivalent", "verdict", "what these seeds can tell"),
    ]
    return table(head, rows)


def _outlook(verdict: Verdict) -> str:
    text = f"finds {100 * (verdict.detectable or 0):.2f} points with 80 %"
    if verdict.verdict != INCONCLUSIVE:
        return text
    if verdict.seeds_needed is None:
        return f"{text}; no number of seeds up to {stats.MOST_SEEDS:,} would decide"
    return f"{text}; {verdict.seeds_needed} seeds would decide"


def crossings(plan: Plan, outcomes: Outcomes) -> str:
    """Return where lines of arms change places, for a study whose arms lie along a number."""
    rows = []
    for each in series.compared(plan, outcomes):
        found = each.crossings()
        if not found:
            ends = [f"{100 * float(each.mean[i]):+.2f}" for i in (0, -1)]
            row = ["does not cross", f"from {ends[0]} to {ends[1]} points", ""]
            rows.append([each.line, each.control, *row])
        for place, low, high in found:
            first, last = (series.shown(end) for end in (low, high))
            beyond = [f"below {series.shown(each.numbers[0])}" if low is None else first]
            beyond += [f"above {series.shown(each.numbers[-1])}" if high is None else last]
            row = [series.shown(place), f"{beyond[0]} … {beyond[1]}"]
            which = "better" if each.mean[-1] < 0 else "worse"
            rows.append([each.line, each.control, *row, f"{which} at the end"])
    if not rows or plan.series is None:
        return ""
    head = ["line", "against", f"crosses at ({plan.series.label})", "95 % interval", ""]
    return f"{table(head, rows)}\n\n{CROSSINGS}"


def arms_table(plan: Plan, outcomes: Outcomes) -> str:
    """Return the arms with their sizes and measured speed."""
    rows = []
    for arm in plan.arms:
        rows.append(
            [
                arm.name,
                arm.against or "(a control)",
                arm.model,
                f"{arm.params:,}",
                f"{arm.macs:,}",
                f"{arm.steps:,}",
                _step_time(arm, outcomes[arm.name].values()),
            ]
        )
    head = ["arm", "against", "model", "parameters", "MACs", "steps", "ms a step"]
    note = "MACs: multiply-adds of one image's inference; ms a step: median over the cells"
    in_lanes = any(cell.lanes for cell in plan.cells)
    note += ", of lanes each one's share." if in_lanes else "."
    return f"{table(head, rows)}\n\n{note}\n\n{_budgets(plan.arms)}".rstrip()


def _step_time(arm: ArmPlan, outcomes: Iterable[Outcome]) -> str:
    batch_size = json.loads(arm.config)["data"]["batch_size"]
    times = [
        1000 * batch_size / each.result["images_per_second"] / each.result.get("lanes", 1)
        for each in outcomes
        if each.result["images_per_second"]
    ]
    return f"{np.median(times):.1f}" if times else "-"


def _budgets(arms: Sequence[ArmPlan]) -> str:
    lines = []
    for arm in arms:
        if arm.matched is not None:
            found = arm.matched
            left = ", ".join(f"{name} {share:+.2%}" for name, share in found.residual.items())
            lines.append(
                f"`{arm.name}`: `{found.by}` from {found.before} to {found.value} for "
                f"{found.budget} equal to those of `{arm.against}` within {found.tolerance:.1%}. "
                f"What is left: {left}."
            )
    return "Matched budgets (arm against control):\n\n" + _list(lines) if lines else ""


def results_table(plan: Plan, outcomes: Outcomes) -> str:
    """Return errors by arm and split: mean, standard deviation, every seed of the endpoint."""
    splits = [split for split in (TRAIN, VALIDATION, TEST) if _has(outcomes, split)]
    rows = []
    for arm in plan.arms:
        cells = [outcomes[arm.name][seed] for seed in sorted(outcomes[arm.name])]
        row = [arm.name]
        for split in splits:
            values = [100 * error(each, split) for each in cells]
            row.append(_mean_and_deviation(values))
        points = [f"{100 * error(each, plan.endpoint):.2f}" for each in cells]
        rows.append([*row, ", ".join(points) or "-"])
    head = ["arm", *(f"{split} error (%)" for split in splits), f"{plan.endpoint}, every seed"]
    return "Mean ± standard deviation over seeds:\n\n" + table(head, rows)


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
    return f"`{proof.arm}` against `{proof.control}`\n\n" + _list(lines)


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
    sizes = {o.result["metrics"][TEST]["examples"] for a in outcomes.values() for o in a.values()}
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
    return _list(lines)


def provenance(plan: Plan, outcomes: Outcomes) -> str:
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
    opened = sum(each.opened for each in cells)
    lines.append(
        f"The test set was opened {opened} times by {len(cells)} cells, once each at its end; "
        "nothing was chosen by it."
    )
    if cells:
        seconds = sum(each.result["seconds"] / each.result.get("lanes", 1) for each in cells)
        lines.append(f"training took {seconds / 60:.1f} minutes over all cells")
    return f"    {plan.command}\n\n" + _list(lines)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _method(plan: Plan, comparisons: int) -> str:
    samples = BOTH if plan.endpoint == TEST else SEEDS.format(split=plan.endpoint)
    many = "the one comparison" if comparisons == 1 else f"all {comparisons} comparisons"
    smallest = f"{100 * plan.smallest:g}"
    text = METHOD.format(samples=samples, comparisons=many, smallest=smallest)
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def _has(outcomes: Outcomes, split: str) -> bool:
    return any(split in o.result["metrics"] for each in outcomes.values() for o in each.values())


def _mean_and_deviation(values: Sequence[float]) -> str:
    if not values:
        return "-"
    deviation = f" ± {np.std(values, ddof=1):.2f}" if len(values) > 1 else ""
    return f"{np.mean(values):.2f}{deviation}"


def _missing(seeds: Sequence[int]) -> str:
    return f"seed {', '.join(map(str, seeds))} missing"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _code(value: object) -> str:
    return "-" if value is None else f"`{value}`"


def _paths(paths: Sequence[str], most: int = 6) -> str:
    shown = ", ".join(f"`{path}`" for path in paths[:most])
    return shown + (f" and {len(paths) - most} more" if len(paths) > most else "")


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _picture(drawn: Sequence[str], name: str, text: str) -> list[str]:
    return [f"![{text}]({name}.png)"] if name in drawn else []
