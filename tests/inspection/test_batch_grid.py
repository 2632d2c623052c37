"""The picture of a batch, and the commands prepare and inspect."""

import json
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from cnn_jax.commands import main
from cnn_jax.data import order
from cnn_jax.data.augment import spatial
from cnn_jax.inspection import batch_grid
from cnn_jax.inspection.destination import Destination
from cnn_jax.runs.experiment import assemble, load_config
from cnn_jax.runtime.errors import BadInputError
from tests.data import archives
from tests.fixtures import write_images

FLAGS = [
    "--config.model.name=mlp",
    "--config.model.hidden=(4,)",
    "--config.data.image_size=8",
    "--config.data.batch_size=16",
    "--config.train.steps=5",
]
CONFIG = "configs/lenet5_digits.py"


def experiment(*flags: str):
    return assemble(load_config(CONFIG, [*FLAGS, *flags]))


def test_a_batch_is_the_one_that_the_step_gets():
    made = experiment('--config.data.augment={"pad_crop": {"padding": 1}}')
    batch = batch_grid.training_batch(made, 3)
    part, section = made.parts["train"], made.config.data
    rows = order.permutation(0, 0, len(part))[3 * 16 : 4 * 16]
    np.testing.assert_array_equal(batch["label"], part.labels[rows])
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 2), 3)  # purpose 2: augment
    for place in (0, 15):
        own = jax.random.fold_in(jax.random.fold_in(key, place), 0)
        image = spatial.pad_crop(own, jnp.float32(part.read(int(rows[place]))), padding=1)
        expected = (np.asarray(image) / 255 - section.mean[0]) / section.std[0]
        np.testing.assert_allclose(batch["image"][place], expected, atol=1e-5)
    with pytest.raises(BadInputError, match="--step=5: the run's steps are 0 to 4"):
        batch_grid.training_batch(made, 5)


def test_the_grid_is_drawn_with_labels(tmp_path):
    made = experiment('--config.data.augment={"mixup": {"alpha": 1.0}}')
    batch = batch_grid.training_batch(made)
    text = batch_grid.label(made, batch, 0)
    shares = [float(share) for share in re.findall(r"\d (\d\.\d\d)", text)]
    assert sum(shares) == pytest.approx(1, abs=0.011) if shares else text in made.classes
    (file,) = batch_grid.draw(made, Destination(tmp_path / "new/out"))
    assert file == tmp_path / "new/out/batch.png"
    with Image.open(file) as picture:
        assert min(picture.size) > 300


def test_inspect_from_the_command_line(tmp_path, capsys):
    out = f"--out={tmp_path}"
    assert main.main(["inspect", "--what=batch", f"--config={CONFIG}", *FLAGS, out]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'batch.png'}\n"
    assert main.main(["inspect", "--what=batch", out]) == 2
    assert "takes --workdir=DIR of a run or --config=FILE.py" in capsys.readouterr().err
    assert main.main(["inspect", "--what=batch", f"--workdir={tmp_path}", out]) == 2
    assert "holds no run" in capsys.readouterr().err
    assert main.main(["inspect", "--what=bach", f"--config={CONFIG}", out]) == 2
    assert "choose from" in capsys.readouterr().err
    assert main.main(["inspect", "--what=batch", f"--config={CONFIG}", *FLAGS, out, "a.png"]) == 2
    assert "takes no image files, such as 'a.png'" in capsys.readouterr().err


def test_overrides_may_hold_spaces(tmp_path, capsys):
    # argparse alone would take such an argument for the name of an image file.
    flags = [*FLAGS, '--config.data.augment={"no_such": {}, "flip": {}}', f"--out={tmp_path}"]
    assert main.main(["inspect", "--what=batch", f"--config={CONFIG}", *flags]) == 2
    assert "no_such" in capsys.readouterr().err


def test_prepare_from_the_command_line(tmp_path, capsys, monkeypatch):
    write_images(tmp_path / "images/train")
    write_images(tmp_path / "images/test", per_class=3)
    flags = ["prepare", "--data=folder", f"--data_dir={tmp_path / 'sets'}"]
    assert main.main([*flags, f"--from={tmp_path / 'images'}"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["examples"] == {"train": 16, "test": 6}
    assert said["classes"] == 2
    config = ["--config.data.name=folder", f"--config.data.dir={said['dir']}"]
    made = experiment(*config, "--config.data.classes=2", "--config.data.batch_size=8")
    assert made.classes == ("a", "b")

    files, _ = archives.mnist()
    archives.publish(monkeypatch, "mnist", files)
    placed = archives.put(tmp_path / "placed", files)
    flags = ["prepare", "--data=mnist", f"--data_dir={tmp_path / 'sets'}"]
    assert main.main([*flags, f"--from={placed}"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["data"], said["examples"]) == ("mnist", {"train": 30, "test": 15})


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (["--data=folder"], "--data=folder takes the folder of images: --from=DIR"),
        (["--data=mnst"], "unknown source 'mnst'; did you mean mnist?"),
        (["--data=digits", "--from=."], "is made of no archives"),
        (["--data=imagewoof", "--from=."], "--from is for mnist,"),
        (["--data=folder", "--from=configs"], "has no folder train/"),
    ],
)
def test_bad_preparations_are_one_line(flags, line, tmp_path, capsys):
    assert main.main(["prepare", *flags, f"--data_dir={tmp_path / 'sets'}"]) == 2
    printed = capsys.readouterr()
    assert line in printed.err
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
