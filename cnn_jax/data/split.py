"""Cutting a part from a set of examples: seeded and stratified by class."""

import numpy as np


def stratified(labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split examples into the rest and a part that holds ``share`` of them, class by class.

    Args:
        labels: int ``[N]``.
        share: of the whole, 0 <= share < 1. The part holds round(share x N) examples; the
            classes' quotas are rounded down and what is missing goes to the largest remainders.
        seed: which examples of a class are taken.

    Returns:
        (rest, part): sorted indices, disjoint, together all N.
    """
    classes, counts = np.unique(labels, return_counts=True)
    exact = counts * share
    quota = np.floor(exact).astype(int)
    missing = round(share * len(labels)) - quota.sum()
    quota[np.argsort(quota - exact, kind="stable")[:missing]] += 1
    rng = np.random.default_rng(seed)
    part = [
        rng.permutation(np.flatnonzero(labels == label))[:take]
        for label, take in zip(classes, quota, strict=True)
    ]
    chosen = np.zeros(len(labels), bool)
    chosen[np.concatenate(part) if part else []] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)
