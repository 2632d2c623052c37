"""What draws each kind of picture."""

from collections.abc import Callable
from pathlib import Path

from cnn_jax.inspection import (
    attributed,
    features,
    flowing,
    kinds,
    measured,
    painted,
    report,
    units,
)
from cnn_jax.inspection.destination import Destination
from cnn_jax.inspection.subject import Subject
from cnn_jax.runs import workdir
from cnn_jax.runtime.figures import PDF, PNG, check_format

# The kinds of kinds.py, in its order; each draws into files of a folder that exists.
DRAWERS: dict[str, Callable[[Subject, Destination], list[Path]]] = {
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
    "curves": measured.draw_curves,
}


def inspect(
    subject: Subject, what: str, folder: str | Path, *, picture_format: str = PNG
) -> list[Path]:
    """Draw the pictures of a kind into ``folder``; return their files.

    The page of ``all`` shows pictures that a browser can show: PNG beside PDF.

    Args:
        subject: what is looked at.
        what: one of ``KINDS``, or ``all``.
        folder: made if it does not exist.
        picture_format: png, pdf or svg.

    Raises:
        BadInputError: an unknown kind or format, or a kind that the network or the data do not
            allow.
    """
    kinds.check(what)
    check_format(picture_format, "--format")
    folder = Path(folder)
    workdir.check_writable(folder, "--out")
    folder.mkdir(parents=True, exist_ok=True)
    if what != kinds.ALL:
        return DRAWERS[what](subject, Destination(folder, (picture_format,)))
    formats = (picture_format, PNG) if picture_format == PDF else (picture_format,)
    return report.draw_all(DRAWERS, subject, Destination(folder, formats))
