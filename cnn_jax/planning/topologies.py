"""Slices of TPUs: what a chip has, and what a train step takes of it."""

import dataclasses
from typing import Any

from cnn_jax.planning.collectives import Collective
from cnn_jax.runtime.byte_counts import bytes_text

GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Chip:
    """A generation's chip: bytes of memory, bfloat16 operations a second at its peak."""

    memory: int
    flops: float


# Cloud TPU documentation, "TPU v4", "TPU v5e", "TPU v5p", "TPU v6e": key specifications.
CHIPS = {
    "v4": Chip(32 * GIB, 275e12),
    "v5e": Chip(16 * GIB, 197e12),
    "v5p": Chip(95 * GIB, 459e12),
    "v6e": Chip(32 * GIB, 918e12),
}


@dataclasses.dataclass(frozen=True)
class StepPlan:
    """What a train step takes on each chip of a slice; sizes in bytes.

    Attributes:
        topology: such as v5e:2x2.
        model: its name.
        image_shape: (H, W, C).
        classes: outputs of the network.
        batch_size: examples a step over all chips.
        accumulate: parts of a batch that are computed one after the other.
        chips: in the slice.
        parameters: of the network, a chip.
        state: parameters, optimizer, statistics: all that a step hands to the next, a chip.
        batch: the images of a step, a chip.
        temporaries: as the compiler laid them out; None where it found no room for them.
        total: state, batch, temporaries and program; where they do not fit, as the compiler
            counted them, or None if it did not say.
        memory: of the chip.
        fits: whether the compiler found room.
        largest_part: how many images over all chips fit at once, by estimate: what they take
            beyond the state and one gradient is taken to grow in proportion; None if unknown.
        flops: of a step, a chip; None where the program does not fit.
        peak_flops: of the chip, a second, in bfloat16.
        collectives: operation -> how many, and bytes of their results a chip.
    """

    topology: str
    model: str
    image_shape: tuple[int, ...]
    classes: int
    batch_size: int
    accumulate: int
    chips: int
    parameters: int
    state: int
    batch: int
    temporaries: int | None
    total: int | None
    memory: int
    fits: bool
    largest_part: int | None
    flops: float | None
    peak_flops: float
    collectives: dict[str, Collective]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        sent = {name: found._asdict() for name, found in self.collectives.items()}
        return dataclasses.asdict(self) | {"collectives": sent}

    def lines(self) -> list[str]:
        """Return the plan as lines of text."""
        size = "x".join(map(str, self.image_shape))
        per_chip = self.batch_size // self.chips
        parts = f" in {self.accumulate} parts" if self.accumulate > 1 else ""
        rows = [
            ("parameters", bytes_text(self.parameters)),
            ("state", f"{bytes_text(self.state)}  (with optimizer and statistics)"),
            ("batch", f"{bytes_text(self.batch)}  ({per_chip} images{parts})"),
        ]
        if self.temporaries is not None:
            rows.append(("temporaries", bytes_text(self.temporaries)))
        if self.total is not None:
            share = self.total / self.memory
            rows.append(
                ("total", f"{bytes_text(self.total)} of {bytes_text(self.memory)}  ({share:.0%})")
            )
        if self.flops is not None:
            least = 1e3 * self.flops / self.peak_flops
            rows.append(("FLOPs", f"{self.flops:.4g} a step  (at bfloat16's peak {least:.2f} ms)"))
        for name, found in sorted(self.collectives.items()):
            rows.append((name, f"{found.count} in a step, {bytes_text(found.bytes)}"))
        if self.flops is not None and not self.collectives:
            rows.append(("collectives", "none"))
        return [
            f"{self.model} on {size}, {self.classes} classes: batch {self.batch_size} on "
            f"{self.chips} chips ({self.topology}); per chip:",
            *(f"  {name:<20} {text}" for name, text in rows),
            self._verdict(),
            "not counted: a data set that is kept on the device",
        ]

    def _verdict(self) -> str:
        most = self.largest_part
        if self.fits:
            return "fits" + (f"; by estimate up to {most} images at once" if most else "")
        if most is None:
            return "does not fit"
        if most == 0:
            return "does not fit, nor would one image a chip, by estimate: take larger chips"
        line = f"does not fit; by estimate data.batch_size={most * self.accumulate} would"
        for parts in range(self.accumulate + 1, self.batch_size // self.chips + 1):
            if self.batch_size % (parts * self.chips) == 0 and self.batch_size // parts <= most:
                return f"{line}, or {self.batch_size} with optim.accumulate={parts}"
        return line
