"""Which numbers a run was made with: what of the arithmetic has changed, and in which version.

config.json notes the version of each entry that applies to the run. A run may not go on with
another: its first steps would follow one rule and its last steps another, without a word. What was
trained before can still be evaluated, exported and fine-tuned.
"""

import dataclasses
from collections.abc import Callable, Mapping

from cnn_jax.config.fields import Config


@dataclasses.dataclass(frozen=True)
class Numerics:
    """A rule of training that gives other numbers than it once did.

    Attributes:
        version: of today's rule; 1 is that of runs that noted none.
        applies: config -> whether its runs follow the rule.
        change: what the newest version does otherwise, as the end of "since then ...".
    """

    version: int
    applies: Callable[[Config], bool]
    change: str


# A rule whose numbers change gets its next version here, and a line that says what changed.
NUMERICS: dict[str, Numerics] = {
    "optim.ema": Numerics(
        2,
        lambda config: config.optim.ema is not None,
        "the running mean has BatchNorm's statistics too",
    ),
    "optim.name=lars": Numerics(
        2,
        lambda config: config.optim.name == "lars",
        "the trust ratio divides by the norms of gradient and decay as published",
    ),
    "optim.name=muon": Numerics(
        2,
        lambda config: config.optim.name == "muon",
        "parameters that are no kernels move by Adam",
    ),
    "data.augment.cutmix": Numerics(
        2,
        lambda config: "cutmix" in config.data.augment,
        "the area of the box is distributed as published",
    ),
}


def numerics_of(config: Config) -> dict[str, int]:
    """Return the versions that a run of ``config`` follows: what its config.json notes."""
    return {name: entry.version for name, entry in NUMERICS.items() if entry.applies(config)}


def numerics_changed(held: Mapping[str, int], config: Config) -> str | None:
    """Return how the numbers of a run have changed since it began, as a line, or None.

    Args:
        held: the versions in the run's config.json; none where it notes none.
        config: of the run.
    """
    for name, now in numerics_of(config).items():
        then = held.get(name, 1)
        if then < now:
            return f"{name} computes other numbers since then ({NUMERICS[name].change})"
        if then > now:
            return f"{name} computes as a newer version of cnn-jax does; update it"
    return None
