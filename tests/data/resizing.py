"""The rule by which images are resized, in exact arithmetic: one matrix for each side."""

import numpy as np


def weights(source: int, target: int) -> np.ndarray:
    """Return what each of ``source`` pixels counts in each of ``target``, ``[target, source]``."""
    step = source / target
    if target >= source:
        centres, pixels = (np.arange(target) + 0.5) * step - 0.5, np.arange(source)
        return np.stack([np.interp(centres, pixels, unit) for unit in np.eye(source)], axis=1)
    edges = np.arange(target + 1) * step
    covered = np.clip(edges[:, None] - np.arange(source), 0, 1)  # of each pixel, up to each edge
    return np.diff(covered, axis=0) / step


def resized(image: np.ndarray, size: tuple[int, int], box=None) -> np.ndarray:
    """Return a window (left, top, right, bottom) of uint8 ``[H, W, C]`` resized, unrounded."""
    if box is not None:
        image = image[box[1] : box[3], box[0] : box[2]]
    down, along = (weights(*sides) for sides in zip(image.shape, size, strict=False))
    return np.einsum("ih,hwc,jw->ijc", down, image, along)


def roundings(source: tuple[int, ...], size: tuple[int, int]) -> float:
    """Return how far levels may be off: half a level a rounding, and as much for the weights."""
    grows = sum(target > side for side, target in zip(source, size, strict=False))
    shrinks = any(target < side for side, target in zip(source, size, strict=False))
    return 0.5 * shrinks + 1.0 * grows + 1e-3
