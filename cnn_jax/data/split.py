"""Choosing a part of a set of examples: seeded, and fair to every class."""

import numpy as np

from cnn_jax.runtime.errors import BadInputError


def stratified(labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split examples into the rest and a part that holds ``share`` of them, class by class.

    Args:
        labels: int ``[N]``.
        share: of the whole, 0 <= share < 1. The part holds round(share x N) examples; the
            classes' quotas are rounded down and what is missing goes to the largest remainders.
            The only example of a class stays in the rest, however, so that with many such classes
            the part holds less.
        seed: which examples of a class are taken.

    Returns:
        (rest, part): sorted indices, disjoint, together all N.
    """
    classes, counts = np.unique(labels, return_counts=True)
    exact = counts * share
    quota = np.floor(exact).astype(int)
    missing = round(share * len(labels)) - quota.sum()
    largest = np.argsort(quota - exact, kind="stable")
    larger = (exact > quota) & (counts > 1)
    quota[largest[larger[largest]][:missing]] += 1
    rng = np.random.default_rng(seed)
    part = [
        rng.permutation(np.flatnonzero(labels == label))[:take]
        for label, take in zip(classes, quota, strict=True)
    ]
    chosen = np.zeros(len(labels), bool)
    chosen[np.concatenate(part) if part else []] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def balanced(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return sorted indices of ``count`` examples of every class that occurs in ``labels``.

    With the same seed, those of a smaller count are among those of a larger one.

    Raises:
        BadInputError: a class has fewer.
    """
    classes, counts = np.unique(labels, return_counts=True)
    if counts.min() < count:
        label, has = classes[counts.argmin()], counts.min()
        raise BadInputError(
            f"data.per_class: {count} of each class are wanted; class {label} has {has} to choose "
            "from"
        )
    rng = np.random.default_rng(seed)
    chosen = [rng.permutation(np.flatnonzero(labels == label))[:count] for label in classes]
    return np.sort(np.concatenate(chosen))
