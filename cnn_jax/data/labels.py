"""Labels are checked where data enter: no loss and no metric sees one that is no class."""

import numpy as np

from cnn_jax.runtime.errors import BadInputError

UNLABELLED = -1  # what tensorflow-datasets stores where nobody labelled an example


def check_labels(labels: np.ndarray, classes: int | None, what: str, remedy: str = "") -> None:
    """Raise ``BadInputError`` unless ``labels`` are integers in 0..classes-1, one an example.

    Args:
        labels: int ``[N]``.
        classes: how many there are; None if nobody knows yet, any that int32 holds then.
        what: has these labels, for the message: "the split test of 'imagenet2012'".
        remedy: what to do about examples without a label.
    """
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise BadInputError(
            f"{what} has labels of the type {labels.dtype} and the shape "
            f"{list(labels.shape)}; a label is an integer, one an example"
        )
    if not len(labels):
        return
    total, without = f"{len(labels):,}", np.count_nonzero(labels == UNLABELLED)
    if without == len(labels):
        raise BadInputError(f"{what} has no labels ({total} of {total} are {UNLABELLED}){remedy}")
    if without:
        raise BadInputError(
            f"{what} lacks some of its labels ({without:,} of {total} are {UNLABELLED}){remedy}"
        )
    last = np.iinfo(np.int32).max if classes is None else classes - 1
    outside = (labels < 0) | (labels > last)
    if outside.any():
        raise BadInputError(
            f"{what} has labels outside 0..{last}: {np.count_nonzero(outside):,} of {total}, "
            f"such as {labels[outside][0]}"
        )


def check_targets(labels: np.ndarray, what: str) -> None:
    """Raise ``BadInputError`` unless ``labels`` are classes ``[N]`` or targets ``[N, ...]``.

    Targets are finite numbers, such as 0 or 1 for each of several labels.
    """
    if labels.ndim < 2:
        check_labels(labels, None, what)
    elif labels.dtype.kind not in "biuf" or not np.isfinite(labels).all():
        raise BadInputError(
            f"{what} has targets of the type {labels.dtype} and the shape {list(labels.shape)}, or "
            "such that are not finite; targets are finite numbers, an entry for each example"
        )


def all_unlabelled(labels: np.ndarray) -> bool:
    """Return whether none of these examples has a label."""
    return bool(len(labels)) and bool(np.all(labels == UNLABELLED))
