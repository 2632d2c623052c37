"""What a study states: each comparison and contrast by each endpoint, and what it weighs."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from cnn_jax.ablation import decisions, stats
from cnn_jax.ablation.decisions import Measured
from cnn_jax.ablation.endpoints import Endpoint, by_example, examples, value
from cnn_jax.ablation.outcomes import Outcome, Outcomes
from cnn_jax.ablation.stats import Difference
from cnn_jax.ablation.stored import Plan
from cnn_jax.data.dataset import TEST
from cnn_jax.runtime.errors import BadInputError


@dataclasses.dataclass(frozen=True)
class Statement:
    """A weighted sum of arms that is judged by an endpoint.

    Attributes:
        name: a contrast's, or ``arm against control``.
        weights: arm -> its weight.
        endpoint: what is measured.
        smallest: the smallest difference that matters; a share of the control's value where
            ``relative`` is set.
        relative: whether it is.
        not_worse: whether the hypothesis allows that verdict.
        comparison: whether it is one, of (arm, control), and not a contrast.
    """

    name: str
    weights: Mapping[str, float]
    endpoint: Endpoint
    smallest: float
    relative: bool = False
    not_worse: bool = False
    comparison: bool = True

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms that it weighs; of a comparison the arm, then its control."""
        return tuple(self.weights)


def statements(plan: Plan) -> tuple[Statement, ...]:
    """Return all statements of a study: comparisons in the order of their proofs, contrasts."""
    found = []
    for endpoint in plan.endpoints:
        smallest = plan.smallest if endpoint.smallest is None else endpoint.smallest
        for proof in plan.proofs:
            name = f"{proof.arm} against {proof.control}"
            weights = {proof.arm: 1.0, proof.control: -1.0}
            own = smallest, plan.relative, proof.not_worse
            found.append(Statement(name, weights, endpoint, *own))
        for each in plan.contrasts:
            own = smallest if each.smallest is None else each.smallest
            more = {"not_worse": each.not_worse, "comparison": False}
            found.append(Statement(each.name, each.weights, endpoint, own, **more))
    return tuple(found)


def counted(plan: Plan) -> int:
    """Return among how many statements the study's error rate is divided.

    All of them, and where a bound of chance is declared each comparison's share of runs that did
    not train, which is then judged, too.
    """
    failing = len(plan.proofs) if plan.at_chance is not None else 0
    return max(len(statements(plan)) + failing, 1)


def points(statement: Statement, outcomes: Outcomes, seeds: Sequence[int]) -> dict[int, float]:
    """Return seed -> difference, of seeds that all arms have."""
    return dict(zip(seeds, _rows(statement, statement.weights, outcomes, seeds), strict=True))


def measure(statement: Statement, outcomes: Outcomes, seeds: Sequence[int]) -> Measured:
    """Return the difference of a statement over seeds that all its arms have; less is better.

    Raises:
        BadInputError: cells were not all tested on the same examples, or on fewer than two.
    """
    sign = -1.0 if statement.endpoint.higher_is_better else 1.0
    whole = {arm: sign * weight for arm, weight in statement.weights.items()}
    found = _difference(statement, whole, outcomes, seeds)
    rows = _rows(statement, whole, outcomes, seeds)
    if not statement.relative:
        return decisions.measured(found, rows, statement.smallest)
    # The margins are multiples of the control: each is tested as a difference of its own.
    arm, control = statement.arms
    share = sign * statement.smallest
    margins = [{arm: sign, control: -sign * (1 + share)}, {arm: sign, control: sign * (share - 1)}]
    worse, better = (_difference(statement, each, outcomes, seeds) for each in margins)
    means = [stats.trimmed_mean(_rows(statement, each, outcomes, seeds)) for each in margins]
    return Measured(found, worse, better, (stats.trimmed_mean(rows), *means))


def _rows(
    statement: Statement, weights: Mapping[str, float], outcomes: Outcomes, seeds: Sequence[int]
) -> np.ndarray:
    """Return the weighted sum of each seed, ``[S]``."""
    endpoint = statement.endpoint
    return np.array(
        [
            sum(w * value(outcomes[arm][seed], endpoint) for arm, w in weights.items())
            for seed in seeds
        ]
    )


def _difference(
    statement: Statement, weights: Mapping[str, float], outcomes: Outcomes, seeds: Sequence[int]
) -> Difference:
    endpoint = statement.endpoint
    cells = [outcomes[arm][seed] for arm in weights for seed in seeds]
    if endpoint.split != TEST:
        least = min(examples(cell, endpoint) for cell in cells)
        rows = _rows(statement, weights, outcomes, seeds)
        return stats.paired_means(rows, least, endpoint.grain)
    try:
        check_same_examples(cells)
    except BadInputError as error:
        both = " and ".join(repr(arm) for arm in statement.arms)
        raise BadInputError(f"arms {both}: {error}") from None
    summed = np.stack(
        [
            weighted([(w, outcomes[arm][seed]) for arm, w in weights.items()], endpoint)
            for seed in seeds
        ]
    )
    return stats.paired(summed, endpoint.grain)


def weighted(cells: Sequence[tuple[float, Outcome]], endpoint: Endpoint) -> np.ndarray:
    """Return the weighted sum of (weight, cell) by test example, ``[N]``."""
    return sum((w * by_example(cell, endpoint) for w, cell in cells), np.zeros(()))


def check_same_examples(cells: Sequence[Outcome]) -> None:
    """Check that cells were tested on the same examples, at least two."""
    counts = sorted({len(each.right) for each in cells})
    if len(counts) != 1 or counts[0] < 2:
        raise BadInputError(
            f"their cells were tested on {' and '.join(map(str, counts))} examples; a comparison "
            "pairs at least 2, the same ones"
        )
    known = [each.labels for each in cells if each.labels is not None]
    if any(not np.array_equal(labels, known[0]) for labels in known[1:]):
        raise BadInputError("their cells were tested on examples of other labels")
