"""What is announced: before a study what its verdicts will take, in its report their power."""

import textwrap
from collections.abc import Sequence

from cnn_jax.ablation import announced, statements, trained
from cnn_jax.ablation.announced import Noise
from cnn_jax.ablation.endpoints import Endpoint
from cnn_jax.ablation.judgements import declared, listed, points
from cnn_jax.ablation.looks import ALPHA
from cnn_jax.ablation.markdown import bullets, table
from cnn_jax.ablation.stored import Plan
from cnn_jax.ablation.verdicts import Power, Verdict, planned

POWER = """\
With a probability of 80 %, by the rules of the verdicts, averaged over what the noise may be that
so few seeds have estimated. Seeds are those of a new study that looks once: adding them to this
one, since it was inconclusive, would be a look that was not declared. "-": nothing is announced,
since noise is known too badly, runs did not train, no errors differ so much or no number of seeds
up to {most:,} would do; an empty field: it is decided."""


def expected(plan: Plan) -> str:
    """Return the rules that a plan's verdicts will follow, and their power where it is declared."""
    count, looks = statements.counted(plan), planned(plan)
    share = "one statement has" if count == 1 else f"{count} statements divide"
    levels = [f"{each.seeds} seeds at {1 - each.alpha:.2%}" for each in looks]
    lines = [f"exploratory: {plan.exploratory}"] if plan.exploratory else []
    lines += [
        f"{len(plan.cells)} cells: {len(plan.arms)} arms x {len(plan.seeds)} seeds at the most",
        f"verdicts: {share} an error rate of 5 %; intervals after {listed(levels)}",
    ]
    least = trained.least_p(looks[-1].seeds)
    if plan.at_chance is not None and least >= looks[-1].alpha:
        lines.append(
            f"shares of runs that do not train cannot be told apart: {looks[-1].seeds} seeds give "
            f"a p of {least:.2g} at the least, and it counts below {looks[-1].alpha:.2g}"
        )
    if plan.spread is not None:
        lines.append(_expected_power(plan, plan.spread, ALPHA / count))
    return f"{declared(plan)}\n\n{bullets(lines)}"


def _expected_power(plan: Plan, spread: float, alpha: float) -> str:
    """Return the power of a study whose seeds' differences deviate by ``spread``."""
    endpoint, noise = plan.endpoints[0], Noise(spread**2)

    def shown(value: float) -> str:
        return points(value) if endpoint.is_error else f"{value:.3g}"

    most = announced.ALL if endpoint.is_error else 1000 * spread
    finest = announced.detectable(noise, planned(plan), most)
    found = "no difference" if finest is None else shown(finest)
    text = (
        f"power, if one seed's difference of {endpoint.label} deviates by {shown(spread)}: the "
        f"study finds {found} with a probability of 80 %"
    )
    if plan.relative:
        return text  # the margin depends on the control's value, which nobody knows yet
    smallest = plan.smallest if endpoint.smallest is None else endpoint.smallest
    find = announced.seeds_to_find(noise, smallest, alpha) or "too many"
    equal = announced.seeds_for_equivalence(noise, smallest, alpha) or "too many"
    return (
        f"{text}; to find {shown(smallest)} takes {find} seeds, to exclude it between equal arms "
        f"{equal}"
    )


def power_table(plan: Plan, judged: Sequence[Verdict]) -> str:
    """Return what is announced of each statement that was measured."""
    rows = []
    for each in judged:
        endpoint = each.statement.endpoint
        named = [each.name, *([endpoint.label] if len(plan.endpoints) > 1 else [])]
        lost = each.mean is None or bool(each.failed)
        shown = ["-"] * 3 if lost else _announced(endpoint, each.power, each.open)
        rows.append([*named, *shown])
    such = f"a study of {listed(plan.looks or (len(plan.seeds),), 'or')} seeds finds"
    head = ["statement", *(["endpoint"] if len(plan.endpoints) > 1 else []), such]
    head += ["seeds to find what matters", "seeds to find equivalence"]
    note = textwrap.fill(POWER.format(most=announced.MOST_SEEDS), 100, break_on_hyphens=False)
    return f"{table(head, rows)}\n\n{note}"


def _announced(endpoint: Endpoint, power: Power, undecided: bool) -> list[str]:
    finest = "-"
    if power.detectable is not None:
        finest = f"{endpoint.shown(power.detectable, signed=False)} {endpoint.unit}".rstrip()
        finest = f"{100 * power.detectable:.1f} points" if endpoint.is_error else finest
    if not undecided:
        return [finest, "", ""]
    return [finest, *("-" if n is None else str(n) for n in (power.to_find, power.for_equivalence))]
