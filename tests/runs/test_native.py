"""``train.native``: built once, recorded, repeatable; and what is said where it cannot be had."""

import json
import shutil

import jax
import pytest

from cnn_jax.config import base_config, check
from cnn_jax.ops.cpu import build_onednn
from cnn_jax.runs.experiment import assemble
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train import sharding
from cnn_jax.train.strategies import Strategy
from tests.fixtures import run
from tests.ops.test_native import HAS_ONEDNN, needs_native

needs_onednn = pytest.mark.skipif(not HAS_ONEDNN, reason="the extra 'native' is not installed")
RUN = [
    *("--config=configs/lenet5_digits.py", "--config.train.steps=8", "--config.eval.every=4"),
    *("--config.data.batch_size=32", "--config.train.native=True"),
]


def unbuildable(folder) -> str:
    """Return why oneDNN cannot be had; nothing may be left of the attempt."""
    build_onednn.load.cache_clear()
    with pytest.raises(BadInputError) as error:
        build_onednn.load(folder)
    build_onednn.load.cache_clear()
    message = str(error.value)
    assert "\n" not in message
    assert not folder.exists() or not list(folder.iterdir())
    return message


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    missing = {f"no-such-{name}": file for name, file in build_onednn.PACKAGES.items()}
    monkeypatch.setattr(build_onednn, "PACKAGES", missing)
    message = unbuildable(tmp_path / "native")
    assert "no-such-onednn-cpu-gomp" in message
    assert "cnn-jax[native]" in message


@needs_onednn
@pytest.mark.parametrize(
    ("compiler", "words"), [("no-such-compiler", "no C++ compiler|CXX"), ("false", "cannot build")]
)
def test_a_compiler_that_does_not_work_is_named(compiler, words, tmp_path, monkeypatch):
    monkeypatch.setenv("CXX", compiler)
    message = unbuildable(tmp_path / "native")
    assert repr(compiler) in message or f"{compiler} cannot build" in message
    assert any(word in message for word in words.split("|"))


def test_float64_is_not_onednns():
    config = base_config()
    config.model.name, config.data.name = "lenet5", "digits"
    config.train.native, config.train.precision = True, "float64"
    with pytest.raises(BadInputError, match=r"'train\.native' .* False under train\.precision"):
        check(config)


def test_a_processor_without_bfloat16_is_named(monkeypatch):
    config = base_config()
    config.model.name, config.data.name, config.data.image_size = "lenet5", "digits", 32
    config.train.steps, config.train.native, config.train.precision = 1, True, "bfloat16"
    found = build_onednn.Loaded("3.2.0", takes_bfloat16=False)
    monkeypatch.setattr(build_onednn, "load", lambda folder: found)
    with pytest.raises(BadInputError, match=r"train\.native: .* AVX-512; set train\.precision"):
        Strategy(assemble(config).setup(), sharding.make_mesh(jax.devices()[:1]))


def test_several_devices_are_refused(tmp_path):
    flags = "--xla_force_host_platform_device_count=2"
    done = run("train", *RUN, f"--workdir={tmp_path}/run", XLA_FLAGS=flags)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("cnn-jax: train.native computes on one CPU")
    assert not (tmp_path / "run").exists()


@needs_native
@pytest.mark.slow
def test_a_run_says_so_and_goes_on_with_the_same_bits(tmp_path):
    """Without its end and its last checkpoint, it comes to the same end again."""
    folder = tmp_path / "run"
    flags = ["train", *RUN, "--config.checkpoint.every=4", f"--workdir={folder}"]

    def trained() -> dict:
        done = run(*flags)
        assert done.returncode == 0, done.stderr
        return json.loads((folder / "result.json").read_text())

    whole = trained()
    assert whole["onednn"] == "3.2.0"
    (folder / "result.json").unlink()
    shutil.rmtree(folder / "checkpoints" / "8")
    assert trained()["metrics"] == whole["metrics"]

    evaluated = run("evaluate", f"--workdir={folder}")
    assert evaluated.returncode == 0, evaluated.stderr
    assert json.loads(evaluated.stdout)["loss"] == whole["metrics"]["test"]["loss"]
