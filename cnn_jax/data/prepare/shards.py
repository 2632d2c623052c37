"""A split's examples, record by record, from the array_record files of a prepared set."""

import bisect
import dataclasses
import itertools
import resource
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds
from array_record.python.array_record_data_source import ArrayRecordDataSource
from array_record.python.array_record_module import ArrayRecordReader

from cnn_jax.runtime.errors import BadInputError, first_line

IMAGE, LABEL = "image", "label"
FEW, MANY = 16, 128  # file descriptors that the rest of a run needs, and may want


@dataclasses.dataclass
class Shard:
    """A file of a split and its number of examples, by the names that array_record gives them."""

    filename: str
    take: int
    examples_in_shard: int
    skip: int = 0


class Records(Sequence[dict[str, Any]]):
    """Examples of a split: mappings with an encoded ``image``, bytes, and a ``label``, int.

    Images that are stored as plain arrays come as PPM files. What else an example has is not
    looked at. Records check themselves when they are read (Riegeli's hashes).

    Args:
        features: image and label of the set.
        files: of the split, in order.
        counts: how many examples each of them should hold.

    Raises:
        BadInputError: a shard is missing, damaged or has another number of examples; or there are
            more shards than this process may open files.
    """

    def __init__(
        self,
        features: tfds.features.FeaturesDict,
        files: Sequence[Path],
        counts: Sequence[int],
    ):
        self._files, self._ends = files, list(itertools.accumulate(counts))
        self._features: Any = features
        self._plain = not isinstance(features[IMAGE], tfds.features.Image)
        self._decoders = None if self._plain else {IMAGE: tfds.decode.SkipDecoding()}
        allow(len(files))
        for file, count in zip(files, counts, strict=True):
            _check(file, count)
        shards = [Shard(str(file), n, n) for file, n in zip(files, counts, strict=True)]
        self._source = ArrayRecordDataSource(shards)

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, row: Any) -> Any:
        return self.__getitems__([int(row)])[0]

    def __getitems__(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """Return many records, which is several times faster than one by one."""
        try:
            stored = self._source.__getitems__(rows)
        except Exception as error:  # by any name; it does not tell the file
            if len(rows) > 1:
                return [self.__getitems__([row])[0] for row in rows]
            raise self._damaged(rows[0], error) from None
        return [self._example(row, record) for row, record in zip(rows, stored, strict=True)]

    def _example(self, row: int, record: bytes) -> dict[str, Any]:
        try:
            example = self._features.deserialize_example_np(record, decoders=self._decoders)
            image, label = example[IMAGE], int(example[LABEL])
        except Exception as error:
            raise self._damaged(row, error) from None
        return {IMAGE: ppm(image) if self._plain else image, LABEL: label}

    def _damaged(self, row: int, error: Exception) -> BadInputError:
        shard = bisect.bisect_right(self._ends, row)
        return BadInputError(
            f"{str(self._files[shard])!r} cannot be read, record {row} of the split: "
            f"{first_line(error)}"
        )


def ppm(image: np.ndarray) -> bytes:
    """Return a Netpbm file of an image, uint8 ``[H, W]`` or ``[H, W, 1 or 3]``, byte for byte."""
    kind = "P6" if image.ndim == 3 and image.shape[2] == 3 else "P5"
    return f"{kind} {image.shape[1]} {image.shape[0]} 255\n".encode() + image.tobytes()


def _check(file: Path, count: int) -> None:
    try:
        reader = ArrayRecordReader(str(file), options="readahead_buffer_size:0")
        found = reader.num_records()
        reader.close()
    except Exception as error:
        reason = "is missing" if not file.exists() else f"cannot be read: {first_line(error)}"
        raise BadInputError(f"{str(file)!r} {reason}") from None
    if found != count:
        raise BadInputError(
            f"{str(file)!r} has {found} examples; by dataset_info.json it should have {count}"
        )


def allow(shards: int) -> None:
    """See to it that so many files may be open: each shard that was read from stays so."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limited = hard != resource.RLIM_INFINITY
    if limited and shards + FEW > hard:
        raise BadInputError(
            f"the set has {shards:,} files, and this process may open {hard:,}; raise the limit: "
            f"ulimit -n {shards + MANY}"
        )
    if shards + MANY > soft != resource.RLIM_INFINITY:
        # Other splits have their shards, too.
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard if limited else 4 * shards + MANY, hard))
