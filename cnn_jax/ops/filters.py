"""Filters with a name: 2-D arrays for cross-correlation, as the lectures print them.

``vertical`` answers to bright left of dark, ``horizontal`` to bright above dark; the other edge
filters likewise.
"""

import numpy as np

# A stroke that bends from the upper right to straight down: what a first layer might learn.
_CURVE = np.zeros((7, 7))
_CURVE[(0, 1, 2, 3, 4, 5), (5, 4, 3, 3, 3, 3)] = 30

_VERTICAL = np.array([[1, 0, -1]] * 3)
_SOBEL = np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]])
_SCHARR = np.array([[3, 0, -3], [10, 0, -10], [3, 0, -3]])
_X = np.array([[1, -1, 1], [-1, 1, -1], [1, -1, 1]])
_DIAGONAL = 2 * np.eye(3) - 1

FILTERS: dict[str, np.ndarray] = {
    name: np.asarray(values, np.float32)
    for name, values in {
        "identity": [[0, 0, 0], [0, 1, 0], [0, 0, 0]],
        "shift": [[0, 1, 0], [0, 0, 0], [0, 0, 0]],
        "box": np.full((3, 3), 1 / 9),
        "sharpen": [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
        "emboss": [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]],
        "laplacian": [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
        "edge_right": [[0, 0, 0], [-1, 1, 0], [0, 0, 0]],
        "vertical": _VERTICAL,
        "horizontal": _VERTICAL.T,
        "sobel": _SOBEL,
        "sobel_horizontal": _SOBEL.T,
        "scharr": _SCHARR,
        "scharr_horizontal": _SCHARR.T,
        "curve": _CURVE,
        "x": _X,
        "diagonal": _DIAGONAL,
        "antidiagonal": _DIAGONAL[:, ::-1],
    }.items()
}
