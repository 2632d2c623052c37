"""The kinds of pictures by name: all that help and a check of flags have to know.

What draws each of them is in ``drawing.py``, which loads JAX.
"""

from cnn_jax.runtime.errors import BadInputError

KINDS = (
    "filters",
    "feature-maps",
    "saliency",
    "guided-backprop",
    "integrated-gradients",
    "grad-cam",
    "occlusion",
    "deconvnet",
    "maximise",
    "receptive-field",
    "gradient-flow",
    "shifts",
    "style",
    "batch",
    "curves",
)
ALL = "all"  # every kind, and a page with all of them


def check(what: str) -> None:
    """Raise ``BadInputError`` unless there is such a kind."""
    if what not in KINDS and what != ALL:
        raise BadInputError(f"--what={what}: choose from {', '.join([*KINDS, ALL])}")
