"""Exported networks: the same answers without this package, and refusals."""

import inspect
import json
import re
import subprocess
import sys
import textwrap
import zipfile
from typing import Any

import jax
import numpy as np
import pytest

import cnn_jax
from cnn_jax import cli, exported
from cnn_jax.errors import BadInputError
from tests.fixtures import environment, write_run

SHAPE = (16, 12, 3)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Return (file, pixels, logits of the run's own network)."""
    folder = tmp_path_factory.mktemp("exported")
    stages: dict[str, Any] = {"stages": (1, 1), "width": 4}
    module, variables = write_run(folder / "run", "resnet20", image_shape=SHAPE, **stages)
    assert cli.main(["export", f"--workdir={folder / 'run'}", f"--to={folder / 'net'}"]) == 0
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
    documented = inspect.getdoc(exported)
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
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(tmp_path / "newer", "w") as new:
        about = json.loads(old.read("metadata.json")) | {"format": 2}
        new.writestr("metadata.json", json.dumps(about))
    with pytest.raises(BadInputError, match="has format 2, this version reads up to 1; update"):
        cnn_jax.load_exported(tmp_path / "newer")


def test_a_place_that_cannot_be_written(network, tmp_path, capsys):
    run = network[0].parent / "run"
    before = sorted(tmp_path.iterdir())
    for to, line in (
        (tmp_path, "is a folder; give the name of a file"),
        (tmp_path / "nowhere/net", "needs the folder"),
    ):
        assert cli.main(["export", f"--workdir={run}", f"--to={to}"]) == 2
        assert line in capsys.readouterr().err
    assert cli.main(["export", f"--workdir={tmp_path}", f"--to={tmp_path / 'net'}"]) == 2
    assert "holds no run" in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before
