"""`inspect`: pictures of a run's network, by kind."""

from collections.abc import Callable
from pathlib import Path

from cnn_jax.inspection import attributed, features, flowing, measured, painted, report, units
from cnn_jax.inspection.subject import Subject, open_run
from cnn_jax.runs import workdir
from cnn_jax.runtime.errors import BadInputError

__all__ = ["KINDS", "Subject", "check", "inspect", "open_run"]

ALL = "all"  # every kind, and a page with all of them

# What draws each kind, into files of a folder that exists.
KINDS: dict[str, Callable[[Subject, Path], list[Path]]] = {
    "filters": features.draw_filters,
    "feature-maps": features.draw_feature_maps,
    "saliency": attributed.draw_saliency,
    "guided-backprop": attributed.draw_guided,
    "integrated-gradients": attributed.draw_integrated,
    "grad-cam": attributed.draw_grad_cam,
    "occlusion": attributed.draw_occlusion,
    "deconvnet": units.draw_deconvnet,
    "maximise": units.draw_maximise,
    "receptive-field": measured.draw_receptive_field,
    "gradient-flow": flowing.draw_gradient_flow,
    "shifts": measured.draw_shifts,
    "style": painted.draw_style,
    "batch": measured.draw_batch,
}


def check(what: str) -> None:
    """Raise ``BadInputError`` unless there is such a kind."""
    if what not in KINDS and what != ALL:
        raise BadInputError(f"--what={what}: choose from {', '.join([*KINDS, ALL])}")


def inspect(subject: Subject, what: str, folder: str | Path) -> list[Path]:
    """Draw the pictures of a kind into ``folder``; return their files.

    Raises:
        BadInputError: an unknown kind, or one that the network or the data do not allow.
    """
    check(what)
    folder = Path(folder)
    workdir.check_writable(folder, "--out")
    folder.mkdir(parents=True, exist_ok=True)
    return report.draw_all(KINDS, subject, folder) if what == ALL else KINDS[what](subject, folder)
