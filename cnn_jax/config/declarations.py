"""What declarations of fields are made of: the class, and the ranges that several share."""

import dataclasses
from typing import Any

from ml_collections import config_dict

from cnn_jax.runtime import ranges
from cnn_jax.runtime.ranges import Each, Range, Said, Text, above, one_of, whole
from cnn_jax.train.optim import make_optimizer
from cnn_jax.train.schedules import MOST_STEPS, make_schedule

placeholder = config_dict.placeholder


@dataclasses.dataclass(frozen=True)
class Field:
    """One field: ``default``, or the type of one that is unset; ``range``; ``comment``."""

    default: Any
    range: Range | None
    comment: str

    @property
    def optional(self) -> bool:
        """Return whether the field may be unset."""
        return isinstance(self.default, type)

    def value(self) -> Any:
        """Return what a new config has: the default, or a placeholder of the field's type."""
        return placeholder(self.default) if self.optional else self.default


def names(*values: str) -> Range:
    """Return the range of a choice among names."""
    return Said(one_of(*values), " | ".join(values))


STEPS = Said(whole(1, high=MOST_STEPS), "at least 1 step")

# What schedules and optimizers take, they declare beside their own arguments.
RULE = {
    name: allowed
    for made in (make_schedule, make_optimizer)
    for name, (allowed, _) in ranges.declared(made).items()
}

SEED = Said(whole(0, high=2**64 - 1), "a whole number from 0 to 2**64 - 1")
COUNT = Said(whole(1, high=2**31 - 1), "at least 1, a whole number below 2**31")
# The most that JPEG has. Larger numbers overflow somewhere in the sizes of arrays.
SIDE = whole(1, high=65_535)
SHARE = Said(above(0, high=1), "above 0 and at most 1")
FLAG = one_of(True, False)
PATTERNS = Said(Each(Text()), 'patterns such as ("stage4*", "head")')
NAME = Text()
