"""Checkpoints: bits survive, the latest and the best stay, damage is seen."""

import errno
import resource
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnn_jax import models
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train.checkpoint import Checkpoints
from cnn_jax.train.saving import SaveError
from cnn_jax.train.state import TrainState, init_state
from tests.fixtures import ABANDONED


def make_state(seed: int) -> TrainState:
    module = models.create("mlp", num_classes=3, hidden=(5,))
    state = init_state(module, optax.adam(0.1), (2, 2, 1), seed, jnp.float32)
    noise = jax.random.normal(jax.random.key(seed), (7,))
    return state.replace(step=state.step + seed, opt_state=(state.opt_state, noise))


def assert_equal(one: TrainState, other: TrainState) -> None:
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert a.dtype == b.dtype
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def newest(kept: Checkpoints) -> tuple[int, TrainState, dict]:
    restored = kept.restore(make_state(0))
    assert restored is not None
    return restored


def test_a_state_comes_back_bit_for_bit_with_its_notes(tmp_path):
    state = make_state(3)
    with Checkpoints(tmp_path) as kept:
        assert kept.restore(state) is None
        kept.save(3, state, {"seconds": 1.5}, None)
    with Checkpoints(tmp_path) as kept:
        assert kept.latest() == 3
        step, restored, notes = newest(kept)
        network = kept.restore_network(kept.choose(None), make_state(0).variables)
    assert (step, notes) == (3, {"seconds": 1.5})
    assert_equal(restored, state)
    assert_equal(restored.replace(variables=network), state)


def test_the_latest_and_the_best_are_kept(tmp_path):
    accuracies = {1: 0.5, 2: 0.9, 3: 0.7, 4: None, 5: 0.8}
    with Checkpoints(tmp_path, keep=1) as kept:
        for step, accuracy in accuracies.items():
            kept.save(step, make_state(step), {}, accuracy)
    with Checkpoints(tmp_path, keep=1) as kept:
        for step in (2, 5):
            network = kept.restore_network(kept.choose(step), make_state(0).variables)
            assert_equal(make_state(step).replace(variables=network), make_state(step))
        with pytest.raises(BadInputError, match=r"--step=3: .* no such checkpoint, only 2, 5"):
            kept.choose(3)


ACCURACIES = {10: 0.5, 20: 0.99, 30: 0.6, 40: 0.7, 50: 0.65, 60: 0.6}


def save(folder: Path, *steps: int) -> None:
    """Go on from the newest checkpoint and save at these steps."""
    with Checkpoints(folder, keep=2) as kept:
        kept.restore(make_state(0))
        for step in steps:
            kept.save(step, make_state(step), {}, ACCURACIES[step])


def steps_in(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal())


@pytest.mark.parametrize(
    "parts",
    [
        [(10, 20, 30, 40, 50, 60)],
        [(10, 20, 30), (40, 50, 60)],
        [(10,), (20,), (30,), (40,), (50,), (60,)],
    ],
)
def test_the_best_outlives_the_process(tmp_path, parts):
    for part in parts:
        save(tmp_path, *part)
    assert steps_in(tmp_path) == [20, 50, 60]
    with Checkpoints(tmp_path, create=False) as kept:
        assert [kept.choose(each) for each in ("best", "latest", None, 50)] == [20, 60, 60, 50]
        with pytest.raises(BadInputError, match=r"--step=40: there is no such checkpoint"):
            kept.choose(40)


@ABANDONED
def test_the_best_outlives_damage_to_the_newest_twice(tmp_path, capsys):
    save(tmp_path, 10, 20, 30)
    for _ in range(2):
        save(tmp_path, 40)
        truncate(tmp_path / "40")
    save(tmp_path, 40, 50)
    assert steps_in(tmp_path) == [20, 40, 50]
    assert {path.name for path in tmp_path.glob("damaged*")} == {"damaged-40", "damaged-40-2"}
    assert capsys.readouterr().err.count("checkpoint 40 is damaged") == 2


def test_what_a_kill_left_of_a_save_costs_no_checkpoint(tmp_path):
    save(tmp_path, 10, 20, 30)
    (tmp_path / "40.orbax-checkpoint-tmp").mkdir()
    save(tmp_path, 50, 60)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["20", "50", "60"]


def test_without_a_validation_part_nothing_is_the_best(tmp_path):
    with Checkpoints(tmp_path) as kept:
        kept.save(3, make_state(3), {}, None)
        with pytest.raises(BadInputError, match="no checkpoint was validated"):
            kept.choose("best")


@ABANDONED
def test_notes_that_were_changed_are_damage(tmp_path, capsys):
    save(tmp_path, 10, 20)
    file = tmp_path / "20/notes/metadata"
    file.write_text(file.read_text().replace("0.99", "0.09"))
    save(tmp_path, 30)
    assert "checkpoint 20 is damaged" in capsys.readouterr().err


def save_on_a_full_disk(folder: Path) -> None:
    """Save what is larger than files may be, which stands for a full disk, and once more."""
    large = make_state(20).replace(opt_state=jax.random.normal(jax.random.key(0), (1 << 20,)))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Checkpoints(folder) as kept:
        kept.restore(make_state(0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
        try:
            kept.save(20, large, {}, None)
            kept.save(30, make_state(30), {}, None)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)


@ABANDONED
def test_a_full_disk_is_one_line_that_names_what_is_kept(tmp_path, capfd):
    save(tmp_path, 10)
    with pytest.raises(SaveError) as caught:
        save_on_a_full_disk(tmp_path)
    line = "a checkpoint cannot be saved: File too large; the last whole one is of step 10"
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.errno == errno.EFBIG
    assert capfd.readouterr().err == ""
    with Checkpoints(tmp_path) as kept:
        assert newest(kept)[0] == 10


def test_an_empty_folder_is_named(tmp_path):
    with Checkpoints(tmp_path) as kept:
        assert kept.latest() is None
        with pytest.raises(BadInputError, match="holds no checkpoint"):
            kept.choose(None)


def flip_a_bit(folder: Path) -> None:
    """Change one bit of the largest file of a checkpoint: the arrays' values."""
    file = max((f for f in folder.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def truncate(folder: Path) -> None:
    file = max((f for f in folder.rglob("*") if f.is_file()), key=lambda f: f.stat().st_size)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def remove_manifests(folder: Path) -> None:
    for file in folder.rglob("manifest.ocdbt"):
        file.unlink()


@ABANDONED
@pytest.mark.parametrize("damage", [flip_a_bit, truncate, remove_manifests])
def test_a_damaged_checkpoint_is_reported_and_the_one_before_taken(tmp_path, capsys, damage):
    with Checkpoints(tmp_path, keep=3) as kept:
        for step in (1, 2):
            kept.save(step, make_state(step), {}, None)
    damage(tmp_path / "2")
    with Checkpoints(tmp_path, keep=3) as kept:
        step, restored, _ = newest(kept)
        assert step == 1
        assert_equal(restored, make_state(1))
        # The run goes on from there, so step 2 is saved again.
        kept.save(2, make_state(2), {}, None)
    assert "checkpoint 2 is damaged" in capsys.readouterr().err
    with Checkpoints(tmp_path, keep=3) as kept:
        assert newest(kept)[0] == 2
    assert (tmp_path / "damaged-2").is_dir()


@ABANDONED
def test_when_all_are_damaged_nothing_is_started_anew(tmp_path):
    with Checkpoints(tmp_path) as kept:
        kept.save(1, make_state(1), {}, None)
    truncate(tmp_path / "1")
    line = "no checkpoint is whole: checkpoint 1 is damaged"
    with Checkpoints(tmp_path) as kept, pytest.raises(BadInputError, match=line):
        kept.restore(make_state(0))
    assert (tmp_path / "1").is_dir()
