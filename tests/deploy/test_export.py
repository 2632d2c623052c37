"""Exported networks: the same answers without this package, and refusals."""

import inspect
import io
import json
import re
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import cnn_jax
from cnn_jax.commands import main
from cnn_jax.deploy import export
from cnn_jax.runtime.errors import BadInputError
from tests.fixtures import environment, write_run

SHAPE = (16, 12, 3)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Return (file, pixels, logits of the run's own network)."""
    folder = tmp_path_factory.mktemp("exported")
    stages: dict[str, Any] = {"stages": (1, 1), "width": 4}
    module, variables = write_run(folder / "run", "resnet20", image_shape=SHAPE, **stages)
    assert main.main(["export", f"--workdir={folder / 'run'}", f"--to={folder / 'net'}"]) == 0
    pixels = np.random.default_rng(0).integers(0, 256, (5, *SHAPE), np.uint8)
    mean, std = (0.3, 0.4, 0.5), (0.2, 0.3, 0.4)
    images = ((pixels / 255 - np.array(mean)) / np.array(std)).astype(np.float32)
    return folder / "net", pixels, np.asarray(module.apply(variables, images, train=False))


def test_any_number_of_images_gets_the_networks_logits(network):
    file, pixels, logits = network
    loaded = cnn_jax.load_exported(file)
    assert loaded.about["class_names"] == list("0123456789")
    assert tuple(loaded.about["image_shape"]) == SHAPE
    for n in (1, 5):
        found = loaded(pixels[:n])
        np.testing.assert_allclose(found["logits"], logits[:n], rtol=1e-4, atol=1e-4)
        expected = jax.nn.softmax(logits[:n])
        np.testing.assert_allclose(found["probabilities"], expected, rtol=1e-4, atol=1e-5)


def test_the_program_is_for_every_platform_and_has_no_operator_of_ours(network):
    with zipfile.ZipFile(network[0]) as archive:
        program = jax.export.deserialize(bytearray(archive.read("program.bin")))
    assert set(program.platforms) == {"cpu", "cuda", "tpu"}
    text = str(program.mlir_module())
    assert "stablehlo.convolution" in text
    assert set(re.findall(r"custom_call @(\w+)", text)) <= {"shape_assertion"}


def test_the_documented_lines_read_it_where_this_package_cannot_be_imported(network, tmp_path):
    file, pixels, logits = network
    documented = inspect.getdoc(export)
    assert documented is not None
    lines = textwrap.dedent(documented[documented.index("    import json") :])
    np.save(tmp_path / "pixels.npy", pixels)
    program = f"""
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("cnn_jax", "flax", "optax", "orbax"):
            raise ImportError(name)

sys.meta_path.insert(0, Blocked())
FILE = {str(file)!r}
import numpy as np
images = np.load("pixels.npy")
{lines}
try:
    import cnn_jax
except ImportError:
    np.save("logits.npy", outputs["logits"])
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    np.testing.assert_allclose(np.load(tmp_path / "logits.npy"), logits, rtol=1e-4, atol=1e-4)


def test_other_arrays_and_other_files_are_refused(network, tmp_path):
    file, pixels, _ = network
    loaded = cnn_jax.load_exported(file)
    with pytest.raises(BadInputError, match=r"takes uint8 \[N, 16, 12, 3\], not float32"):
        loaded(pixels.astype(np.float32))
    with pytest.raises(BadInputError, match=r"not uint8 \[5, 12, 16, 3\]"):
        loaded(pixels.transpose(0, 2, 1, 3))
    with pytest.raises(BadInputError, match="no such file"):
        cnn_jax.load_exported(tmp_path / "none")
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "damaged").write_bytes(damaged)
    (tmp_path / "text").write_text("nothing")
    for name in ("damaged", "text"):
        with pytest.raises(BadInputError, match="is no exported network"):
            cnn_jax.load_exported(tmp_path / name)
    with pytest.raises(BadInputError, match="one image at the least"):
        loaded(pixels[:0])


def test_a_newer_format_and_the_first_one(network, tmp_path):
    file, pixels, logits = network
    held = members(file)
    about = json.loads(held["metadata.json"])
    write(tmp_path / "newer", held | {"metadata.json": json.dumps(about | {"format": 3})})
    with pytest.raises(BadInputError, match="has format 3, newer than 2; update cnn-jax"):
        cnn_jax.load_exported(tmp_path / "newer")
    first = {name: value for name, value in about.items() if name not in ("members", "digest")}
    write(tmp_path / "first", held | {"metadata.json": json.dumps(first | {"format": 1})})
    found = cnn_jax.load_exported(tmp_path / "first")(pixels)["logits"]
    np.testing.assert_allclose(found, logits, rtol=1e-4, atol=1e-4)


def members(file: Path) -> dict[str, Any]:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(file: Path, held: Mapping[str, Any]) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in held.items():
            archive.writestr(name, value)


def npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    np.savez(stored := io.BytesIO(), allow_pickle=True, **arrays)
    return stored.getvalue()


def first_format(held: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """Return members as the first format has them: nothing but types says what is right."""
    about = json.loads(held["metadata.json"]) | {"format": 1} | fields
    kept = {name: value for name, value in about.items() if name not in ("members", "digest")}
    return dict(held) | {"metadata.json": json.dumps(kept)}


def test_parts_of_several_networks_are_told(network, tmp_path):
    """Every part is whole, and they do not belong together."""
    held = members(network[0])
    weights = dict(np.load(io.BytesIO(held["weights.npz"])))
    name = "params/head/kernel"
    other = npz(weights | {name: weights[name] + 1})
    about = json.loads(held["metadata.json"])
    fewer = {key: value for key, value in weights.items() if key != name}
    cases = [
        (held | {"weights.npz": other}, "weights.npz is not what was written with it"),
        (held | {"program.bin": held["program.bin"] + b" "}, "program.bin is not what was"),
        (held | {"metadata.json": json.dumps(about | {"step": 9})}, "its digest differs"),
        (first_format(held) | {"weights.npz": npz(fewer)}, f"lacks '{name}'"),
        (first_format(held) | {"weights.npz": npz(weights | {"params/x": other_array()})}, "take"),
        (
            first_format(held) | {"weights.npz": npz(weights | {name: weights[name].T})},
            r"float32 \[10, 8\], the program takes float32 \[8, 10\]",
        ),
        (
            first_format(held) | {"weights.npz": npz(weights | {name: weights[name].astype("f2")})},
            "is float16",
        ),
        (first_format(held, image_shape=[12, 16, 3]), r"maps images \[16, 12, 3\] to 10 classes"),
        (first_format(held, classes=11, class_names=None), "to 10 classes, not"),
        (first_format(held, class_names=["a"]), "1 names for 10 classes"),
        (first_format(held, mean=[0.5]), "are not numbers for 3 channels"),
    ]
    for changed, line in cases:
        write(tmp_path / "changed", changed)
        with pytest.raises(BadInputError, match=line):
            cnn_jax.load_exported(tmp_path / "changed")


def other_array() -> np.ndarray:
    return np.zeros(3, np.float32)


def test_what_it_says_of_itself_has_every_field_and_their_types(network, tmp_path):
    held = members(network[0])
    about = json.loads(held["metadata.json"])
    broken = [held | {"metadata.json": text} for text in ("", "[]", "{}", '{"format": 1}', "\xff")]
    marks = ("format", "members", "digest")
    broken += [first_format(held, **{name: {"a": [None]}}) for name in about if name not in marks]
    for name in about:
        fields = {key: value for key, value in about.items() if key != name}
        broken.append(held | {"metadata.json": json.dumps(fields)})
    broken += [{key: value for key, value in held.items() if key != name} for name in held]
    for changed in broken:
        write(tmp_path / "changed", changed)
        with pytest.raises(BadInputError) as refused:
            cnn_jax.load_exported(tmp_path / "changed")
        assert str(tmp_path / "changed") in str(refused.value)
        assert "\n" not in str(refused.value)


def test_an_archive_that_would_fill_the_memory_is_refused_before_it_does(network, tmp_path):
    held = members(network[0])
    name, zeros = "params/head/kernel", np.zeros(40 << 20, np.uint8)
    write(tmp_path / "outer", first_format(held) | {"weights.npz": zeros.tobytes()})
    np.savez_compressed(stored := io.BytesIO(), allow_pickle=True, **{name: zeros})
    write(tmp_path / "inner", first_format(held) | {"weights.npz": stored.getvalue()})
    header = io.BytesIO()
    shape = {"descr": "<f4", "fortran_order": False, "shape": (1 << 40,)}
    np.lib.format.write_array_header_1_0(header, shape)
    with zipfile.ZipFile(array := io.BytesIO(), "w") as archive:
        archive.writestr(f"{name}.npy", header.getvalue())
    write(tmp_path / "array", first_format(held) | {"weights.npz": array.getvalue()})
    cases = {"outer": "says that it holds", "inner": "says that it holds", "array": "not as large"}
    for file, line in cases.items():
        assert (tmp_path / file).stat().st_size < 1 << 20
        with pytest.raises(BadInputError, match=line):
            cnn_jax.load_exported(tmp_path / file)


def test_a_place_that_cannot_be_written(network, tmp_path, capsys):
    run = network[0].parent / "run"
    before = sorted(tmp_path.iterdir())
    for to, line in (
        (tmp_path, "is a folder; give the name of a file"),
        (tmp_path / "nowhere/net", "needs the folder"),
    ):
        assert main.main(["export", f"--workdir={run}", f"--to={to}"]) == 2
        assert line in capsys.readouterr().err
    assert main.main(["export", f"--workdir={tmp_path}", f"--to={tmp_path / 'net'}"]) == 2
    assert "holds no run" in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before
