"""How often studies err, hold the truth and find what they announce, over simulated studies.

    python experiments/calibration.py > experiments/results/calibration.md

Truths are known and verdicts are the engine's own; some minutes. Simulated test examples are in
`cnn_jax/ablation/simulate.py`, seeds with one number each in `rehearsals.py` and `odd_seeds.py`.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from cnn_jax.ablation import announced, odd_seeds, rehearsals, simulate
from cnn_jax.ablation.decisions import BETTER, EQUIVALENT, NOT_WORSE, WORSE
from cnn_jax.ablation.looks import Look, planned
from cnn_jax.ablation.stats import ALPHA

APART = (BETTER, WORSE)
SEEDS = (2, 3, 5, 10)
FAMILIES = (1, 5, 16)
MANY = 40_000  # studies, where a seed has one number
SOURCES = {"seeds alone": 0.0, "examples too": 25e-6, "examples most": 1e-4}
NAMED = {1: "1 comparison", 5: "5 comparisons", 16: "16 comparisons"}


def section(title: str, *sentences: str) -> None:
    """Print a heading, and what is simulated."""
    print(f"\n## {title}\n\n{' '.join(sentences)}")


def errors(studies: int, share: float = ALPHA, times: int = 1) -> str:
    """Return 'studies a figure' and two Monte Carlo errors of a share, in words."""
    twice = 200 * times * math.sqrt(share / times * (1 - share / times) / studies)
    return f"{studies:,} studies a figure; two Monte Carlo errors are {twice:.1f} points."


def table(columns: Sequence[str], rows: Mapping[str, Sequence[str]]) -> None:
    """Print a Markdown table."""
    print(f"\n| | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}")
    for name, cells in rows.items():
        print(f"| {name} | {' | '.join(cells)} |")


def shown(share: float) -> str:
    """Return a share in per cent."""
    return "-" if math.isnan(share) else f"{share:.1%}"


def seeds_of(counts: Sequence[int]) -> list[str]:
    """Return the headings of columns."""
    return [f"{count} seeds" for count in counts]


def methods(parts: int = 10) -> None:
    """Print how often intervals hold the truth, by method."""
    section(
        "Intervals by method",
        "How often 95 % intervals of one comparison hold the true difference, with seeds and test "
        "examples drawn: 95 % is right.",
        errors(1000 * parts),
    )
    for seeds in (3, 5, 10):
        drawn = [simulate.compare_methods(seeds, studies=1000, seed=i) for i in range(parts)]
        names = list(next(iter(drawn[0].values())))
        rows = {
            regime: [shown(sum(part[regime][name] for part in drawn) / parts) for name in names]
            for regime in drawn[0]
        }
        print(f"\n### {seeds} seeds")
        table(names, rows)


def one_comparison(studies: int = 20_000) -> None:
    """Print how often arms without a difference are told apart."""
    section(
        "One comparison without a difference",
        "Seeds and test examples are drawn; the true errors of the arms are the same. Called "
        "better or worse: at most 5 %. A comparison of 16 in a study has a sixteenth of the rate; "
        "16 times its share is shown, at most 5 %. The interval holds the truth in 95 % or more.",
        errors(studies),
        f"Of 16 they are {200 * math.sqrt(16 * ALPHA / studies):.1f}.",
    )
    found = {
        name: [simulate.told_apart(*its, seeds, (1, 16), studies=studies) for seeds in SEEDS]
        for name, its in simulate.ARMS.items()
    }
    for index, title in enumerate(("Better or worse, 1 comparison", "One of 16, times 16")):
        print(f"\n### {title}")
        rows = {name: [shown(each[0][index]) for each in its] for name, its in found.items()}
        table(seeds_of(SEEDS), rows)
    print("\n### Intervals at 95 % that hold the truth")
    table(seeds_of(SEEDS), {name: [shown(each[1]) for each in its] for name, its in found.items()})


def false_family(kind: str, count: int, seeds: int, alpha: float) -> float:
    """Return the share of studies with a false statement, of a family of ``count``."""
    margin = rehearsals.FINE if kind == "no differences" else 6.0
    truths = {
        "no differences": [0.0] * count,
        "all at the bound": [margin] * count,
        "a noisy one without a difference, the others at the bound": [0.0] + [margin] * (count - 1),
    }[kind]
    spreads = [10.0 if "noisy" in kind else 1.0] + [1.0] * (count - 1)
    points = rehearsals.family(truths, spreads, seeds, control=0.5, studies=MANY)
    said = rehearsals.follow(points, (Look(seeds, alpha),), margin, not_worse=True)
    return float(rehearsals.wrong(said.verdicts, np.array(truths), margin).any(axis=-1).mean())


def families() -> None:
    """Print how often studies of many comparisons err."""
    section(
        "Families against one control",
        "Share of studies with any false statement: better or worse without a difference, "
        "equivalent or not worse at the smallest difference that matters. At most 5 % with the "
        "rate divided by the comparisons; behind it, undivided.",
        errors(MANY),
    )
    kinds = (
        "no differences",
        "all at the bound",
        "a noisy one without a difference, the others at the bound",
    )
    rows = {}
    for kind in kinds:
        for count in (5, 10, 16):
            cells = []
            for seeds in (3, 5, 10):
                ours = false_family(kind, count, seeds, planned((seeds,), count)[0].alpha)
                cells.append(f"{shown(ours)} ({shown(false_family(kind, count, seeds, ALPHA))})")
            rows[f"{count}: {kind}"] = cells
    table(seeds_of((3, 5, 10)), rows)


def bounds(studies: int = 10_000) -> None:
    """Print how often what matters is called harmless."""
    section(
        "At the smallest difference that matters",
        "The arm is worse by exactly what matters: called equivalent, and in brackets called "
        "equivalent or not worse, each at most 5 %. Margins are of the error, or a share of the "
        "control's. Errors are counts, so that a mean that comes out low comes with a small "
        "variance: the interval's ends have those of the margins.",
        errors(studies),
    )
    rows = {}
    for name, margin in (("seeds alone, margin of 6 deviations", 6.0), ("of 1 deviation", 1.0)):
        cells = []
        for seeds in SEEDS:
            points = rehearsals.family([margin], [1.0], seeds, control=0.0, studies=MANY)
            said = rehearsals.follow(points, planned((seeds,), 1), margin, not_worse=True).verdicts
            harmless = np.isin(said, (EQUIVALENT, NOT_WORSE, BETTER)).mean()
            cells.append(f"{shown((said == EQUIVALENT).mean())} ({shown(harmless)})")
        rows[name] = cells
    usual, few = simulate.Truth(), simulate.Truth(level=5.8)
    taste, lucky = simulate.Truth(taste=1.0), simulate.Truth(luck=0.3)
    cases = {
        "errors of 9 %, margin of 4 points": (usual, 359, 0.04, False, None),
        "the same, 1,000 examples": (usual, 1000, 0.04, False, None),
        "by example, margin of 4 points": (taste, 359, 0.04, False, None),
        "errors of 9 %, margin of 50 %": (usual, 359, 0.5, True, None),
        "seeds matter, margin of 50 %": (lucky, 359, 0.5, True, None),
        "by example, margin of 50 %": (taste, 359, 0.5, True, None),
        "errors of 0.5 %, margin of 100 %": (few, 1000, 1.0, True, None),
        "not at it: 0.5 % against 1.2 %, margin of 1 point": (few, 1000, 0.01, False, 0.007),
        "not at it: 0.5 % against 1.2 %, margin of 50 %": (few, 1000, 0.5, True, 0.007),
    }
    for name, (truth, examples, smallest, share, difference) in cases.items():
        margin = smallest * (truth.control_error if share else 1)
        truth = truth.differing_by(margin if difference is None else difference)
        cells = []
        for seeds in SEEDS:
            equivalent, harmless = simulate.called_harmless(
                truth, examples, seeds, smallest, is_relative=share, studies=studies
            )
            cells.append(f"{shown(equivalent)} ({shown(harmless)})")
        rows[name] = cells
    table(seeds_of(SEEDS), rows)


def looking() -> None:
    """Print how often studies err that look several times."""
    section(
        "Looks while seeds come in",
        "A verdict is final at its first look. Share of studies with any false one, at most 5 %: "
        "without a difference, and at the smallest difference that matters; with 5 % (divided by "
        "the comparisons) at every look instead; and how often all intervals at the looks of the "
        "verdicts hold the truth, 95 % or more.",
        errors(MANY),
    )
    rows = {}
    for looks in ((5, 10, 20), (2, 4, 8), (3, 6, 12)):
        for count in (1, 5):
            points = rehearsals.family(
                [0.0] * count, [1.0] * count, looks[-1], control=0.0, studies=MANY
            )
            plan = planned(looks, count)
            naive = [Look(seeds, ALPHA / count) for seeds in looks]
            ours, theirs = (rehearsals.follow(points, each) for each in (plan, naive))
            bound = rehearsals.follow(points + 1.5, plan, 1.5, not_worse=True)
            false = rehearsals.wrong(bound.verdicts, 1.5, 1.5)
            rows[f"{looks}, {NAMED[count]}"] = [
                shown(float(np.isin(ours.verdicts, APART).any(axis=-1).mean())),
                shown(float(false.any(axis=-1).mean())),
                shown(float(np.isin(theirs.verdicts, APART).any(axis=-1).mean())),
                shown(float(ours.holds(0.0).all(axis=-1).mean())),
            ]
    table(["no difference", "at the bound", "no difference, 5 % a look", "intervals"], rows)


def tuning() -> None:
    """Print how often two arms alike are told apart that were tuned."""
    section(
        "Tuning",
        "Two arms alike, each tuned over rates worth errors of 10, 10.5 and 11.5 %; a run's error "
        "has a deviation of 0.3 points. Called better or worse where each seed tunes for itself, "
        "at most 5 %, and where the first seed tunes for all.",
        errors(MANY),
    )
    rows = {}
    for images in (144, 5000):
        for shared in (False, True):
            who = "the first seed tunes" if shared else "each seed tunes"
            cells = []
            for seeds in (3, 5, 10):
                points = rehearsals.tuned(seeds, images, shared=shared, studies=MANY)
                said = rehearsals.follow(points, planned((seeds,), 1)).verdicts
                cells.append(shown(float(np.isin(said, APART).mean())))
            rows[f"{images:,} validation images, {who}"] = cells
    table(seeds_of((3, 5, 10)), rows)


def failing() -> None:
    """Print what runs that do not train do."""
    section(
        "Runs that do not train",
        "A share of one arm's runs collapses and adds 80 points to the error. Intervals of the "
        "difference of runs that trained hold it in 95 %, exact intervals of the share that "
        "collapses in 95 % or more (94 % with Monte Carlo error), and equivalence is never said "
        "where a run was seen to collapse. With collapsed runs as ordinary seeds the arm is worse "
        "by 4 or 16 points, and matters by 1: intervals hold that, and it is called equivalent.",
        errors(MANY // 2),
    )
    rows = {}
    for rate in (0.05, 0.2):
        for seeds in (3, 5, 10, 20):
            found = odd_seeds.collapse(rate, seeds, studies=MANY // 2)
            rows[f"{rate:.0%} collapse, {seeds} seeds"] = [
                shown(found.held),
                shown(found.share_held),
                shown(found.equivalent),
                shown(found.naive_held),
                shown(found.naive_equivalent),
            ]
    heads = ["difference held", "share held", "equivalent"]
    table([*heads, "counted in: held", "counted in: equivalent"], rows)


def skewness() -> None:
    """Print what skewed seeds do."""
    section(
        "Skewed seeds",
        "A seed's difference is normal, exponential or lognormal (1.2). No bound holds here: a "
        "mean of few skewed seeds is off. The trimmed mean, which has to be on a verdict's side "
        "and was in every one, does not help against skew. Shown: intervals that hold the truth, "
        "better or worse without a difference, how many of those that the interval gives the "
        "trimmed mean withheld, equivalent or not worse at the bound (one deviation, the worse "
        "side), and how often the report tells of skew or an outlier.",
        errors(MANY),
    )
    rows = {}
    for shape in odd_seeds.SHAPES:
        for seeds in (3, 5, 10, 20):
            found = odd_seeds.skew(shape, seeds, studies=MANY)
            rows[f"{shape}, {seeds} seeds"] = [
                shown(found.held),
                shown(found.apart),
                shown(found.withheld),
                shown(found.equivalent),
                shown(found.told),
            ]
    table(["held", "better or worse", "withheld", "at the bound", "told"], rows)


def powers(pilots: int = 500) -> None:
    """Print the true power at the difference that studies announce to find in 80 %."""
    section(
        "Power announced: the difference that is found",
        "The true power at what is announced to be found in 80 % of studies; a seed's difference "
        "has a deviation of 1 point, examples add none to a mean, half a point or 1. Where the "
        "noise is known, and the mean over studies that estimate it, each from its own noise; in "
        "brackets the share that announces nothing. 75 to 85 %, or nothing announced; somewhat "
        "more where examples dominate, since a few seeds leave open whether their noise does.",
        errors(10_000, 0.8),
        f"Of estimates, {pilots} studies; two errors are 1.5 points with examples.",
    )
    for kind in ("known", "estimated"):
        print(f"\n### Noise {kind}")
        rows = {}
        for name, variance in SOURCES.items():
            source = rehearsals.Source(0.01, variance)
            for seeds in (2, 3, 4, 5, 10):
                rows[f"{name}, {seeds} seeds"] = [
                    _power(
                        source, planned((seeds,), k), seeds if kind == "estimated" else 0, pilots
                    )
                    for k in FAMILIES
                ]
        table(list(NAMED.values()), rows)
    rows = {}
    for name, variance in list(SOURCES.items())[:2]:
        source = rehearsals.Source(0.01, variance)
        for seeds in (0, 5, 20):
            label = f"estimated by {seeds} seeds" if seeds else "known"
            rows[f"{name}, {label}"] = [
                _power(source, planned((5, 10, 20), k), seeds, pilots) for k in FAMILIES
            ]
    print("\n### Looks at 5, 10 and 20 seeds")
    table(list(NAMED.values()), rows)


def _power(source: rehearsals.Source, looks: Sequence[Look], seeds: int, pilots: int) -> str:
    """Return the true power at what is announced, from noise that ``seeds`` estimate; 0: known."""
    noises = source.pilots(seeds, pilots) if seeds else [source.known]
    told = [announced.detectable(noise, looks) for noise in noises]
    some = [each for each in told if each is not None]
    if not some:
        return "nothing"
    at = [some[0]]
    if seeds:
        at = np.geomspace(0.99 * min(some), 1.01 * max(some), 40).tolist()
    found = rehearsals.promise(told, at, source.power(looks, at))
    return f"{shown(found.power)} ({shown(found.silent)})" if seeds else shown(found.power)


def numbers_of_seeds(pilots: int = 50) -> None:
    """Print the true power with the number of seeds that studies announce to need."""
    section(
        "Power announced: the seeds that are needed",
        "The true power of a new study with the seeds announced to find a difference of one "
        "deviation of a seed's, or to call arms equivalent that do not differ where that one "
        "matters: 80 % or a little more, since seeds are whole. Columns and brackets as before; "
        f"estimates are those at {pilots} quantiles of their distribution.",
        errors(4000, 0.8),
    )
    source, effect = rehearsals.Source(), 0.01
    rows = {}
    for seeds in (0, 2, 3, 4, 5, 10):
        noises = source.pilots(seeds, pilots) if seeds else [source.known]
        label = f"estimated by {seeds} seeds" if seeds else "known"
        for name, needed in (
            ("found", announced.seeds_to_find),
            ("equivalent", announced.seeds_for_equivalence),
        ):
            cells = []
            for count in FAMILIES:
                alpha = ALPHA / count
                told = [needed(noise, effect, alpha) for noise in noises]
                cells.append(_seeds_power(source, told, alpha, effect, name == "equivalent"))
            rows[f"{name}, noise {label}"] = cells
    table(list(NAMED.values()), rows)


def _seeds_power(
    source: rehearsals.Source,
    told: Sequence[int | None],
    alpha: float,
    effect: float,
    is_equivalence: bool,
) -> str:
    """Return the true power with the seeds that were told, simulated at some numbers of them."""
    some = sorted({each for each in told if each is not None})
    if not some:
        return "nothing"
    kept = np.unique(np.linspace(0, len(some) - 1, 15).round().astype(int))
    at = [some[index] for index in kept]
    power = []
    for seeds in at:
        looks = (Look(seeds, alpha),)
        if is_equivalence:
            found = source.power(looks, [0.0], effect, said=(EQUIVALENT,), studies=4000)
        else:
            found = source.power(looks, [effect], studies=4000)
        power.append(found[0])
    found = rehearsals.promise(told, at, np.array(power))
    return f"{shown(found.power)} ({shown(found.silent)})"


def main() -> None:
    """Print all tables as Markdown."""
    print(f"# Calibration\n\n{(__doc__ or '').splitlines()[0]} By `experiments/calibration.py`.")
    for part in (methods, one_comparison, families, bounds, looking, tuning, failing, skewness):
        part()
    powers()
    numbers_of_seeds()


if __name__ == "__main__":
    main()
