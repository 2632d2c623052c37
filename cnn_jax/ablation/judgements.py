"""What report.md says of a study's statements: verdicts, failures, and by which rules."""

import textwrap
from collections.abc import Mapping, Sequence

from cnn_jax.ablation import statements
from cnn_jax.ablation.failures import Share
from cnn_jax.ablation.left import Stored
from cnn_jax.ablation.markdown import bullets, table
from cnn_jax.ablation.stored import Plan
from cnn_jax.ablation.trained import Failing
from cnn_jax.ablation.verdicts import Verdict, needed, planned
from cnn_jax.data.dataset import TEST

METHOD = """\
Differences are arm minus control, of errors in percentage points; where less is better, the arm is
better below zero. Seeds pair the arms{pairing}. {samples} Both intervals are simultaneous: with
{count} in all, {rate} of studies err in any. {levels} *better* or *worse*: the first interval
leaves out zero (of a contrast: *below* or *above zero*); *it matters* if it also leaves out the
smallest difference that matters. *equivalent*: the second, whose ends have the noise of the
margins, lies within that difference, {smallest}, whichever sign it has{not_worse}. The trimmed
mean, without a fifth of the seeds at either end, has to say the same. *inconclusive*: none of it,
or a seed is missing. Verdicts are of runs that trained; a run did not if its loss stopped being
finite{chance}. Where runs of one arm alone did not, arms are not called equivalent; where all did,
more failures than were seen are possible, and the verdict says up to how many. Variance from seeds:
the rest comes from the choice of test examples. How the intervals were chosen, and how often they
and the verdicts err: `cnn_jax/ablation/stats.py`, `experiments/calibration.py`."""
BOTH = """\
For test values the intervals count two sources of noise, the seeds and the choice of test examples
(from each example's outcome in every cell), so they speak of new seeds and of new examples."""
SEEDS = """\
For {split} values they count the seeds' noise: a statement about the {split} images at hand."""


def title(plan: Plan) -> str:
    """Return the report's first line."""
    first = f"# {plan.name}, preset {plan.preset}"
    return f"{first}: exploratory, with {plan.exploratory}" if plan.exploratory else first


def state(plan: Plan, stored: Stored, judged: Sequence[Verdict]) -> str:
    """Return how many cells are finished, diverged, and were not needed."""
    done = sum(len(each) for each in stored.outcomes.values())
    lost = sum(len(each) for each in stored.diverged.values())
    wanted = needed(plan, judged)
    spared = sum(cell.seed >= wanted[cell.arm] for cell in plan.cells)
    spared -= sum(seed >= wanted[arm] for arm, own in stored.outcomes.items() for seed in own)
    text = f"{done} of {len(plan.cells)} cells are finished"
    text += f", {lost} diverged" if lost else ""
    return text + (f", {spared} were not needed." if spared else ".")


def seeds(plan: Plan, judged: Sequence[Verdict]) -> str:
    """Return the seeds, and after how many of them was looked."""
    text = ", ".join(map(str, plan.seeds))
    if not plan.looks:
        return text
    used = sorted({each.look.seeds for each in judged})
    text += f"; looks after {listed(plan.looks)} of them, verdicts after {listed(used)}"
    return text


def sentence(verdict: Verdict) -> str:
    """Return a verdict in one line."""
    if verdict.mean is None:
        return f"{verdict.word}: {_lacking(verdict)}"
    endpoint = verdict.statement.endpoint
    low, high = (endpoint.shown(end) for end in verdict.different)
    text = f"{verdict.word}, {endpoint.shown(verdict.mean)} {endpoint.unit}".rstrip()
    text += f" (simultaneous interval {low} to {high})"
    return "; ".join([text, *filter(None, [verdict.matters]), *verdict.conditions])


def verdict_table(judged: Sequence[Verdict]) -> str:
    """Return the statements with difference, both intervals and verdict."""
    several = len({each.statement.endpoint for each in judged}) > 1
    relative = any(each.margins for each in judged)
    head = ["statement", *(["endpoint"] if several else []), "difference", "interval, different"]
    head += ["interval, equivalent", *(["beyond the margins"] if relative else [])]
    head += ["trimmed mean", "variance from seeds", "seeds", "verdict", "with this"]
    rows = []
    for each in judged:
        endpoint = each.statement.endpoint
        row = [each.name, *([endpoint.label] if several else [])]
        if each.mean is None:
            row += ["-"] * (3 + relative + 2)
        else:
            row += [endpoint.shown(each.mean)]
            row += [_interval(each, ends) for ends in (each.different, each.within)]
            row += [_margins(each)] if relative else []
            row += [endpoint.shown(each.trimmed), f"{each.seeds_share:.0%}"]
        rows.append([*row, str(len(each.points)), f"**{each.word}**", _told(each)])
    return table(head, rows)


def _interval(verdict: Verdict, ends: tuple[float, float]) -> str:
    low, high = (verdict.statement.endpoint.shown(end) for end in ends)
    return f"{low} … {high}"


def _margins(verdict: Verdict) -> str:
    if verdict.margins is None:
        return "-"
    share = verdict.statement.smallest
    shown = [verdict.statement.endpoint.shown(end) for end in verdict.margins]
    return f"from +{share:.0%}: {shown[0]}; from -{share:.0%}: {shown[1]}"


def _told(verdict: Verdict) -> str:
    """Return what else is to be known of a verdict: whether it matters, conditions, warnings."""
    lacking = [_lacking(verdict)] if verdict.mean is None or verdict.failed else []
    words = [verdict.matters, *lacking, *verdict.conditions, *verdict.warnings]
    return "; ".join(word for word in words if word)


def _lacking(verdict: Verdict) -> str:
    """Return which seeds a statement lacks, and why."""
    lines = [f"{arm} failed with seed {listed(own)}" for arm, own in verdict.failed.items()]
    lines += [f"seed {listed(verdict.missing)} missing"] if verdict.missing else []
    return "; ".join(lines)


def failing_table(plan: Plan, failing: Sequence[Failing]) -> str:
    """Return the shares of runs that did not train; empty where all did and none are judged."""
    if plan.at_chance is None and not any(x.failed for each in failing for x in each.shares):
        return ""
    rows = [
        [
            *(f"{each.arm} against {each.control}", *map(_share, each.shares)),
            *(f"{each.p:.2g}", f"{each.alpha:.2g}", each.verdict),
        ]
        for each in failing
    ]
    head = ["runs that did not train", "arm", "control", "p (Fisher)", "counts below", "verdict"]
    note = "The shares are judged, and count among the statements that divide the error rate."
    if plan.at_chance is None:
        note = "No bound of chance is declared, so that the shares are shown and not judged."
    note = f"Exact intervals (Clopper and Pearson) at the level of the verdicts. {note}"
    return f"{table(head, rows)}\n\n{note}" if rows else ""


def failing_sentence(failing: Failing) -> str:
    """Return a judged difference in the shares of runs that did not train, in one line."""
    arm, control = (f"{each.failed} of {each.runs}" for each in failing.shares)
    return f"{failing.verdict}: {arm} runs did not train, of the control's {control}"


def _share(share: Share) -> str:
    return f"{share.failed} of {share.runs} ({share.low:.0%} … {share.high:.0%})"


def declared(plan: Plan) -> str:
    """Return what decides: endpoints with what matters in them, contrasts, the bound of chance."""
    lines = []
    for each in plan.endpoints:
        smallest = plan.smallest if each.smallest is None else each.smallest
        margin = points(smallest) if each.is_error else f"{smallest:g}"
        margin = f"{100 * smallest:g} % of the control's value" if plan.relative else margin
        way = "more" if each.higher_is_better else "less"
        matter = "matters" if margin == "1 point" else "matter"
        lines.append(f"{each.label}: {way} is better, and {margin} {matter}")
    for each in plan.contrasts:
        told = "" if each.smallest is None else f"; {each.smallest:g} matters"
        lines.append(f"{each.name}: {_weighed(each.weights)}{told}")
    if plan.at_chance is not None:
        lines.append(f"a training error of {100 * plan.at_chance:g} % or more: it did not train")
    return "What decides:\n\n" + bullets(lines)


def _weighed(weights: Mapping[str, float]) -> str:
    """Return a weighted sum of arms as it is written."""
    terms = []
    for arm, weight in weights.items():
        size = "" if abs(weight) == 1 else f"{abs(weight):g} x "
        terms.append(f"{'-' if weight < 0 else '+'} {size}`{arm}`")
    return " ".join(terms).removeprefix("+ ")


def points(share: float) -> str:
    """Return a share as points of error."""
    shown = f"{100 * share:.3g}"
    return f"{shown} point{'s' * (shown != '1')}"


def method(plan: Plan) -> str:
    """Return the rules, in words."""
    splits = list(dict.fromkeys(each.split for each in plan.endpoints))
    samples = [BOTH if split == TEST else SEEDS.format(split=split) for split in splits]
    count, looks = statements.counted(plan), planned(plan)
    margin = f"{100 * plan.smallest:g} % of the control's value"
    if not plan.relative:
        margin = points(plan.smallest)
    if any(each.smallest is not None for each in (*plan.endpoints, *plan.contrasts)):
        margin += " or what its statement declares"
    declared = any(each.not_worse for each in statements.statements(plan))
    levels = [
        f"{1 - each.alpha:.2%} and {1 - 2 * each.alpha:.2%}"
        + (f" after {each.seeds} seeds" if len(looks) > 1 else "")
        for each in looks
    ]
    final = "; a verdict is final" if len(looks) > 1 else ""
    text = METHOD.format(
        samples=" ".join(samples),
        count="one statement" if count == 1 else f"{count} statements",
        rate="at most 5 %",
        smallest=margin,
        pairing=_pairing(plan),
        levels=f"Their levels are {listed(levels)}{final}.",
        not_worse="; *not worse*, where the hypothesis says so: below it" * declared,
        chance=""
        if plan.at_chance is None
        else f", or its training error ended at {100 * plan.at_chance:g} % or more",
    )
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def _pairing(plan: Plan) -> str:
    """Return what a seed gives both arms, as far as every comparison holds it equal."""
    held = [set(proof.held or ()) for proof in plan.proofs]
    shared = {
        "order": "the same order of the data",
        "initial": "the same initial weights where path and shape agree",
    }
    words = [text for name, text in shared.items() if held and all(name in each for each in held)]
    return f": a seed gives both {' and '.join(words)}" if words else ""


def listed(values: Sequence[object], last: str = "and") -> str:
    """Return values as a sentence lists them."""
    words = [str(value) for value in values]
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {last} {words[-1]}"
