"""The file of an exported network, as an archive: what it says of itself, and its weights."""

import io
import zipfile
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np
from flax import traverse_util

from cnn_jax.runtime import archives, json_file

FORMAT = 2  # 1 has no digests
METADATA, PROGRAM, WEIGHTS = "metadata.json", "program.bin", "weights.npz"
WHAT = "exported network"


class Metadata(TypedDict):
    """What an exported network says of itself."""

    format: int
    model: str
    image_shape: tuple[int, int, int]  # (H, W, C)
    classes: int
    class_names: list[str] | None
    mean: list[float]  # by channel, as std
    std: list[float]
    step: int
    params: int
    platforms: list[str]
    calling_convention: int
    versions: dict[str, str]
    members: NotRequired[dict[str, str]]  # digests of program.bin and weights.npz
    digest: NotRequired[str]


def read_archive(file: str | Path) -> tuple[Metadata, bytes, dict[str, np.ndarray]]:
    """Return (metadata, program, weights by 'params/head/kernel').

    Raises:
        BadInputError: no such file, another file, a damaged one, one whose parts are of several
            networks, or one of a newer format.
    """
    with archives.opened(file, WHAT) as archive:
        text = archives.read(archive, METADATA)
        about = json_file.parse(
            text,
            Metadata,
            "what an exported network says of itself",
            source=f"{file}:{METADATA}",
            version=FORMAT,
            digest_since=2,
        )
        _check(about)
        program, stored = archives.read(archive, PROGRAM), archives.read(archive, WEIGHTS)
        if about["format"] > 1:
            found = {PROGRAM: program, WEIGHTS: stored}
            archives.check_digests(found, about.get("members", {}))
        with zipfile.ZipFile(io.BytesIO(stored)) as inner:
            weights = archives.arrays(inner)
        for name in weights:
            parts = name.split("/")
            if any("/".join(parts[:depth]) in weights for depth in range(1, len(parts))):
                raise ValueError(f"{WEIGHTS} has {name!r} below another array")
    return about, program, weights


def _check(about: Metadata) -> None:
    """Raise ``ValueError`` if fields do not go together."""
    channels, names = about["image_shape"][2], about["class_names"]
    if min(*about["image_shape"], about["classes"]) < 1:
        raise ValueError("its images have no pixels, or there are no classes")
    if not len(about["mean"]) == len(about["std"]) == channels or 0 in about["std"]:
        raise ValueError(f"mean and std are not numbers for {channels} channels")
    if names is not None and len(names) != about["classes"]:
        raise ValueError(f"{len(names)} names for {about['classes']} classes")


def variables(weights: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return an exported network's weights as a module takes them."""
    flat = {tuple(name.split("/")): value for name, value in weights.items()}
    return traverse_util.unflatten_dict(flat)
