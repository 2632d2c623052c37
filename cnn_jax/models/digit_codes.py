"""Fixed ±1 codes for the output of the classic LeNet-5.

The published network aims its 84 last features at stylised 7×12 pictures of the characters (LeCun
et al. 1998, section II.B, figure 3), so that characters that look alike have near codes.
"""

import numpy as np

ROWS, COLUMNS = 12, 7

# The ten digits, drawn for this project after the figure's idea.
_DIGITS = """
..###.. ...#... .#####. .#####. ....##. ####### ..####. ####### .#####. .#####.
.##.##. ..##... ##...## ##...## ...###. ##..... .##.... .....## ##...## ##...##
##...## .###... ##...## .....## ..####. ##..... ##..... .....## ##...## ##...##
##...## ...#... .....## .....## .##.##. ##..... ##..... ....##. ##...## ##...##
##...## ...#... ....##. ...###. ##..##. ######. ##.###. ...##.. .#####. ##...##
##...## ...#... ...##.. ...###. ##..##. .....## ###..## ..##... .#####. .######
##...## ...#... ..##... .....## ####### .....## ##...## ..##... ##...## .....##
##...## ...#... .##.... .....## ....##. .....## ##...## ..##... ##...## .....##
.##.##. ...#... ##..... ##...## ....##. ##...## ##...## ..##... ##...## ....##.
..###.. .#####. ####### .#####. ....##. .#####. .#####. ..##... .#####. .####..
....... ....... ....... ....... ....... ....... ....... ....... ....... .......
....... ....... ....... ....... ....... ....... ....... ....... ....... .......
"""


def codes(classes: int) -> np.ndarray:
    """Return ±1 codes ``[classes, 84]``: the digits' pictures, row by row, ink +1.

    Classes past the tenth get balanced codes drawn from a fixed seed.
    """
    lines = [line.split() for line in _DIGITS.split("\n") if line]
    pictures = np.array([[list(glyph) for glyph in line] for line in lines])  # row, digit, column
    ink = np.where(pictures == "#", 1.0, -1.0).transpose(1, 0, 2).reshape(10, ROWS * COLUMNS)
    draw = np.random.default_rng(84)
    half = np.repeat([1.0, -1.0], ROWS * COLUMNS // 2)
    more = [draw.permutation(half) for _ in range(max(0, classes - len(ink)))]
    return np.stack([*ink, *more])[:classes]
