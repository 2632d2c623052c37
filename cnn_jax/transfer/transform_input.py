"""Whether a network was trained on converted images: what a file of weights does not hold.

torchvision's googlenet and inception_v3 turn images standardised by ImageNet's statistics into
(value - .5) / .5 where they were built with ``transform_input=True``, as its trained ones are; one
that somebody trains has False. The option is no tensor, but it leaves a trace: the normalisation
behind the first convolution keeps the mean of what it saw. The convolution has no bias, so that
mean is the kernels' sums times the mean of the images by channel: 0 without the conversion, and
(-0.03, -0.09, -0.19) with it. As sets of images differ in brightness more than in colour, the
channels are held against their common mean.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from cnn_jax.ops import imagenet
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.transfer.torch_names import Naming

FIELD = "transform_input"
MODELS = ("googlenet", "inception_v3")
# Mean of ImageNet's images by channel after the conversion; before it, it is 0.
CONVERTED = (np.array(imagenet.MEAN) - 0.5) / 0.5

_ERRORS = 3.0  # standard errors by which the images' colour has to be nearer to one of the two


class Evidence(NamedTuple):
    """What a first layer tells of its input.

    Attributes:
        converted: whether images were converted; None if the weights do not clearly say.
        mean: of the first convolution's input by channel, ``[3]``, by least squares.
    """

    converted: bool | None
    mean: np.ndarray | None


def evidence(kernel: np.ndarray, running_mean: np.ndarray, running_var: np.ndarray) -> Evidence:
    """Return what a first convolution ``[O, 3, kh, kw]`` and its normalisation's statistics say.

    The statistics are ``[O]``. They start at mean 0 and variance 1, of which a share is left after
    a few batches: at most the least variance, so that the mean is known to that share.
    """
    sums = kernel.sum((2, 3), dtype=np.float64)
    means, variances = running_mean.astype(np.float64), running_var.astype(np.float64)
    count, channels = sums.shape
    fits = channels == 3 and count > 3 and means.shape == variances.shape == (count,)
    if not fits or not np.all(np.isfinite([*sums.T, means, variances])) or not np.any(means):
        return Evidence(None, None)
    mean, _, rank, _ = np.linalg.lstsq(sums, means)
    if rank < channels:
        return Evidence(None, None)
    colour = CONVERTED - CONVERTED.mean()
    colour /= colour @ colour
    place = mean @ colour  # 0 as it is, 1 converted
    # Of least squares: the residuals' variance times the inverse of the sums' second moments.
    variance = np.sum((means - sums @ mean) ** 2) / (count - channels)
    error = _ERRORS * np.sqrt(variance * (colour @ np.linalg.solve(sums.T @ sums, colour)))
    if place + error < (1 - np.min(variances)) / 2:
        return Evidence(False, mean)
    return Evidence(True if place - error > 1 / 2 else None, mean)


def chosen(
    name: str,
    layout: Naming,
    tensors: Mapping[str, np.ndarray],
    fields: Mapping[str, Any],
    *,
    flag: str = "--transform_input",
) -> tuple[dict[str, Any], str | None]:
    """Return the fields with ``transform_input`` settled, and a line that says which and why.

    Unless ``fields`` choose it, it is what the weights say where they clearly do, else True. The
    line names ``flag`` as the way to choose; it is None where there is nothing to choose.

    Raises:
        BadInputError: a choice that is no truth value.
    """
    settled = {key: value for key, value in fields.items() if key != FIELD}
    choice = fields.get(FIELD)
    if name not in MODELS:
        return dict(fields), None
    if choice is not None and not isinstance(choice, bool):
        raise BadInputError(f"{FIELD} is {choice!r}; it has to be True or False")
    kernel = tensors.get(f"{layout.stem}.weight")
    if kernel is None or kernel.ndim != 4 or kernel.shape[1] != 3:
        return settled | {FIELD: bool(choice)}, None
    norm = layout.stem.removesuffix("conv") + "bn"
    nothing = np.zeros(0)  # a file that lacks them is told when it is converted
    mean, variance = (tensors.get(f"{norm}.running_{of}", nothing) for of in ("mean", "var"))
    said = evidence(kernel, mean, variance)
    value = said.converted is not False if choice is None else bool(choice)
    line = _line(value, choice is not None, said, f"choose with {flag}=true|false")
    return settled | {FIELD: value}, f"{name}: {line}"


def _line(value: bool, is_choice: bool, said: Evidence, how: str) -> str:
    if said.converted is None or said.mean is None:
        if is_choice:
            return f"{FIELD}={value}, as chosen; the weights do not say"
        return (
            f"{FIELD}={value} is assumed, as torchvision's trained weights have it; one that was "
            f"trained without has False, and the weights do not say: {how}"
        )
    mean = ", ".join(f"{x:.2f}" for x in said.mean)
    saw = f"their first convolution saw images of mean ({mean})"
    told = f"as images that were {'' if said.converted else 'not '}converted have"
    if not is_choice:
        return f"{FIELD}={value}, which the weights say: {saw}, {told}; {how}"
    if value == said.converted:
        return f"{FIELD}={value}, as chosen; the weights say so too: {saw}"
    return f"{FIELD}={value}, as chosen, but the weights contradict it: {saw}, {told}; {how}"
