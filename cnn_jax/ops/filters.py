"""Filters with a name, as 2-D arrays for cross-correlation.

Laid out as the lectures print them; ``horizontal`` answers to bright above dark, ``vertical`` to
bright left of dark.
"""

import numpy as np

_VERTICAL = np.array([[1.0, 0.0, -1.0]] * 3)

FILTERS: dict[str, np.ndarray] = {
    "vertical": _VERTICAL,
    "horizontal": _VERTICAL.T,
}
