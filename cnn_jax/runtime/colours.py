"""Colours of lines and maps: for colour-blind readers, for print, and as even as the eye is."""

from collections.abc import Sequence
from typing import Any

import numpy as np

# Okabe and Ito's colours, told apart by colour-blind readers, then darker and lighter ones. Their
# yellow is left out: on paper it is hardly seen.
COLOURS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31"),
    *("#004466", "#7A3500", "#00553E", "#7B4965", "#8F6200", "#9AD0F0", "#777777", "#C7A76C"),
)
BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK, _ = COLOURS[:8]
GREY = "#777777"  # of what is beside the point: a zero, a diagonal

# Without colour lines differ by these; five and seven have no common divisor, so that a pair comes
# again after 35 lines.
LINES = ("-", "--", "-.", ":", (0, (6, 1.5, 1, 1.5, 1, 1.5)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

# Names of colour maps. Of each, equal steps look equally large.
MAGNITUDES, HEAT = "viridis", "magma"  # from zero, or the least, up
SIGNED = "blue-white-red"  # zero is white; equally dark at both ends
SHARES = "white-blue"  # zero is nearly the paper's white

_BLUE_HUE, _RED_HUE = 257.0, 27.0  # degrees
# Oklab's lightness at the ends and in the middle, and its chroma at the ends: within sRGB
_DARK, _WHITE, _CHROMA = 0.48, 0.985, 0.16


def look(index: int, points: int = 0) -> dict[str, Any]:
    """Return how a line is drawn, for ``axes.plot``: unlike its neighbours in grey, too.

    Args:
        index: its place among the lines.
        points: that it has; up to 40 are marked, more would hide it. 0 marks none.
    """
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": LINES[index % len(LINES)],
        "marker": MARKERS[index % len(MARKERS)] if 0 < points <= 40 else "",
    }


def steps(name: str, count: int = 257) -> np.ndarray:
    """Return the colours of ``SIGNED`` or ``SHARES``, sRGB ``[count, 3]`` in 0..1.

    They lie on straight lines of Oklab (Ottosson 2020), in which distances are those that are
    seen, so that no step of a value looks larger than another.
    """
    if name == SHARES:
        return _ramp(np.linspace(0, 1, count), _BLUE_HUE)
    places = np.linspace(-1, 1, count)
    below = places[:, None] < 0
    return np.where(below, _ramp(-places, _BLUE_HUE), _ramp(places, _RED_HUE))


def _ramp(amount: np.ndarray, hue: float) -> np.ndarray:
    """Return colours from white (0) to a dark hue in degrees (1), sRGB ``[N, 3]``."""
    amount = np.clip(amount, 0, 1)
    angle = np.deg2rad(hue)
    lightness = _WHITE + (_DARK - _WHITE) * amount
    chroma = _CHROMA * amount
    return _srgb(np.stack([lightness, chroma * np.cos(angle), chroma * np.sin(angle)], axis=-1))


# Ottosson's matrices, Oklab to cone responses and those to linear sRGB.
_TO_CONES = np.array(
    [
        [1, 0.3963377774, 0.2158037573],
        [1, -0.1055613458, -0.0638541728],
        [1, -0.0894841775, -1.2914855480],
    ]
)
_TO_LINEAR = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def _srgb(oklab: Sequence[Any] | np.ndarray) -> np.ndarray:
    """Return colours ``[N, 3]`` of Oklab as sRGB in 0..1."""
    linear = np.clip((np.asarray(oklab) @ _TO_CONES.T) ** 3 @ _TO_LINEAR.T, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
