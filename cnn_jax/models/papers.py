"""Which paper a network comes from: the first that its docstrings name."""

import re
import sys

from cnn_jax.models import constructor

_PAPER = re.compile(r"[A-Z][\w-]+(?: et al\.| and [A-Z]\w+)? (?:19|20)\d\d")


def paper(name: str) -> str:
    """Return author and year, such as He et al. 2015; empty where no docstring names a paper.

    The first line of the class's docstring counts most, then its module's, then what else the
    class says. Raises ``BadInputError`` for an unknown model.
    """
    build = constructor(name)
    made = getattr(build, "func", build)  # a variant is a functools.partial
    module = sys.modules[made.__module__]
    own, around = (" ".join((each.__doc__ or "").split("\n")) for each in (made, module))
    first = (made.__doc__ or "").partition("\n")[0]
    found = (_PAPER.search(text) for text in (first, around, own))
    return next((match[0] for match in found if match is not None), "")
