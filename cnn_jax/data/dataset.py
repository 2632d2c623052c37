"""A data set: what is trained, validated and tested on."""

import copy
import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cnn_jax.data.labels import UNLABELLED, check_labels
from cnn_jax.data.parts import Part, Stream
from cnn_jax.data.split import balanced, stratified
from cnn_jax.registry import suggestion
from cnn_jax.runtime.errors import BadInputError

TRAIN, VALIDATION, TEST = "train", "validation", "test"


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A data set: its parts, and the classes' names.

    ``validation`` is what the set itself has to validate on, beside its test part. ``skipped`` are
    the files that were left out, a line each or by reason; ``notes`` all that its user should be
    told of the set, these included.
    ``size`` is what the images were resized to, (height, width), before any subsampling.
    ``mean`` and ``std`` are the constants to normalise by, a channel each, of pixels in 0..1;
    None where neither this project nor the prepared set knows them.

    Raises:
        BadInputError: a part without examples or with a label that is no class, or less than two
            classes.
    """

    train: Part | Stream
    test: Part | Stream | None
    classes: tuple[str, ...]
    size: tuple[int, int]
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    validation: Part | Stream | None = None

    def __post_init__(self):
        if len(self.classes) < 2:
            which = f"one class, {self.classes[0]!r}" if self.classes else "no classes"
            raise BadInputError(f"the data have {which}; telling classes apart takes two")
        for name, part in self.parts.items():
            if not len(part):
                raise BadInputError(f"the {name} part of the data has no examples")
            what = f"the {name} part of the data"
            if part.labels.ndim == 1:
                check_labels(part.labels, len(self.classes), what)
            elif part.labels.shape[1:] != (len(self.classes),):
                raise BadInputError(
                    f"{what} has targets {list(part.labels.shape)}; {len(self.classes)} for each "
                    "example are as many as the set has names"
                )

    @property
    def parts(self) -> dict[str, Part | Stream]:
        """Return the parts that there are, by name: train, test, validation."""
        held = {TRAIN: self.train, TEST: self.test, VALIDATION: self.validation}
        return {name: part for name, part in held.items() if part is not None}

    def held_out(self, share: float, seed: int, per_class: int | None = None) -> "Dataset":
        """Return the set with a share of its training part to validate on, seeded and stratified.

        Args:
            share: of the training examples; 0 leaves the set without a validation part.
            seed: which examples that are.
            per_class: train on so many of each class, and leave the rest unused. Those are chosen
                after the cut: runs on fewer examples are validated on the same ones.

        Raises:
            BadInputError: the share holds no example, or a class has too few.
        """
        labels = self.train.labels
        if labels.ndim > 1:  # several labels an example: no classes to be fair to
            if per_class is not None:
                raise BadInputError("data.per_class: examples have several labels; leave it unset")
            labels = np.zeros(len(labels), np.int32)
        rest, cut = stratified(labels, share, seed)
        if per_class is not None:
            rest = rest[balanced(self.train.labels[rest], per_class, seed)]
        if share and not len(cut):
            raise BadInputError(
                f"data.validation: {share} of {len(rest)} examples is none; "
                "raise it, or set 0 to train on everything"
            )
        held = self.train[cut] if len(cut) else self.validation
        made = copy.copy(self)  # its labels were checked already; those of a test are left alone
        object.__setattr__(made, "train", self.train[rest])
        object.__setattr__(made, "validation", held)
        return made

    def only(self, names: Sequence[str]) -> "Dataset":
        """Return the set with these of its classes alone, labelled in this order.

        Raises:
            BadInputError: a name that is no class of the set, or comes twice; or no example of a
                part is of these classes.
        """
        if self.train.labels.ndim > 1:
            raise BadInputError("data.only: examples have several labels; leave it unset")
        for name in names:
            if name not in self.classes:
                meant = suggestion(name, self.classes)
                raise BadInputError(f"data.only: no class is called {name!r}; {meant} is")
        if len(set(names)) < len(names):
            raise BadInputError(f"data.only: {', '.join(names)} names a class twice")
        relabelled = np.full(len(self.classes), UNLABELLED, np.int32)
        relabelled[[self.classes.index(name) for name in names]] = np.arange(len(names))

        def kept(part: Part | Stream, of: str) -> Part | Stream:
            found = relabelled[part.labels]
            rows = np.flatnonzero(found != UNLABELLED)
            if not len(rows):
                raise BadInputError(
                    f"data.only: no example of the {of} part is of {', '.join(names)}"
                )
            return dataclasses.replace(part[rows], labels=found[rows])

        parts: Any = {name: kept(part, name) for name, part in self.parts.items()}
        return dataclasses.replace(self, classes=tuple(names), **parts)

    def labelled_as(self, network: Sequence[str]) -> "Dataset":
        """Return the set with the labels that a trained network has for its classes.

        Args:
            network: the names of the network's classes, by their numbers. The set may have some
                of them, in any order. Where it has as many and none of the names is the
                network's, they are taken to be the same classes.

        Raises:
            BadInputError: a class of the set is none of the network's.
        """
        unknown = [name for name in self.classes if name not in network]
        if len(unknown) == len(self.classes) == len(network):
            return self
        if unknown:
            raise BadInputError(
                f"the class {unknown[0]!r} of the data is none of the network's "
                f"{len(network)}; leave it out: --config.data.only=NAME,NAME,..."
            )
        places = np.array([list(network).index(name) for name in self.classes], np.int32)
        parts: Any = {
            name: dataclasses.replace(part, labels=places[part.labels])
            for name, part in self.parts.items()
        }
        return dataclasses.replace(self, classes=tuple(network), **parts)


def fingerprint(parts: Mapping[str, Part | Stream]) -> str:
    """Return a digest of pixels and labels; of streamed parts, of the labels and their order."""
    digest = hashlib.sha256()
    for name, part in parts.items():
        digest.update(f"{name} {part.image_shape}".encode() + part.labels.tobytes())
        kept = part.images if isinstance(part, Part) else part.rows
        digest.update(np.ascontiguousarray(kept).data)
    return digest.hexdigest()[:16]
