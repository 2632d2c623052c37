"""`inspect --what=curves`: a run's curves, drawn again from its metrics."""

import re
from pathlib import Path

import pytest

import cnn_jax
from cnn_jax.commands import main
from cnn_jax.config import base_config
from cnn_jax.runs.captions import data_name, title
from cnn_jax.runs.experiment import load_config
from tests.fixtures import write_images, write_run


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """Return the folder of a run of 7 steps, its metrics logged every 3."""
    folder = tmp_path_factory.mktemp("trained")
    write_images(folder / "MNIST/train", per_class=16)
    write_images(folder / "MNIST/test", per_class=4)
    flags = [
        "--config.model.name=mlp",
        "--config.model.hidden=(4,)",
        "--config.data.name=folder",
        f"--config.data.dir={folder / 'MNIST'}",
        "--config.data.image_size=8",
        "--config.data.classes=2",
        "--config.data.batch_size=8",
        "--config.train.epochs=None",
        "--config.train.steps=7",
        "--config.train.log_every=3",
    ]
    cnn_jax.train_and_evaluate(load_config("configs/lenet5_digits.py", flags), folder / "run")
    return folder / "run"


def texts(file: Path) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", file.read_text())


def test_curves_are_drawn_from_the_metrics(trained, tmp_path, capsys):
    out = tmp_path / "new/out"
    flags = ["inspect", "--what=curves", f"--workdir={trained}", f"--out={out}"]
    assert main.main([*flags, "--format=svg"]) == 0
    assert capsys.readouterr().out == f"{out / 'curves.svg'}\n"
    said = texts(out / "curves.svg")
    assert "mlp on MNIST" in said
    assert "train, augmented, labels smoothed 0.1, mean of 3 steps" in said
    assert {"cross-entropy (nats)", "error (%)", "step", "epoch"} <= set(said)
    assert any(re.fullmatch(r"test, at the end 0\.\d{4} nats, \d+\.\d\d %", x) for x in said)
    # The picture that training left is this one.
    assert main.main(flags) == 0
    assert (out / "curves.png").read_bytes() == (trained / "curves.png").read_bytes()


def test_evaluation_and_search_draw_in_a_format_and_name_the_data(trained, tmp_path, capsys):
    out = tmp_path / "out"
    flags = [f"--workdir={trained}", f"--out={out}", "--format=svg"]
    assert main.main(["evaluate", *flags]) == 0
    kinds = {"confusion": "true class", "reliability": "confidence"}
    for name, word in kinds.items():
        assert {"mlp on MNIST, test, step 7", word} <= set(texts(out / f"{name}.svg"))
        assert not (out / f"{name}.png").exists()
    query = str(trained.parent / "MNIST/test/a/0.png")
    sheet = out / "sheet.PDF"
    flags = [f"--workdir={trained}", f"--index={out / 'index'}", f"--sheet={sheet}", query]
    assert main.main(["search-images", *flags]) == 0
    assert sheet.read_bytes().startswith(b"%PDF")
    capsys.readouterr()


def test_one_line_for_curves_that_there_are_not(trained, tmp_path, capsys):
    write_run(tmp_path / "silent", "mlp", image_shape=(8, 8, 1), classes=("a", "b"), hidden=(4,))
    out = tmp_path / "out"
    run = f"--workdir={trained}"
    cases = [
        ([f"--workdir={tmp_path}"], "holds no run"),
        ([f"--workdir={tmp_path / 'silent'}"], "metrics.jsonl' has no lines yet"),
        ([run, "a.png"], "--what=curves takes no image files, such as 'a.png'"),
        ([run, "--step=3"], "--step=3 chooses a network's weights"),
        ([run, "--ema"], "--ema chooses a network's weights"),
        ([run, "--config.data.dir=x"], "unknown argument '--config.data.dir=x'"),
        (["--config=configs/lenet5_digits.py"], "--what=curves takes --workdir=DIR of a run"),
    ]
    for arguments, line in cases:
        assert main.main(["inspect", "--what=curves", f"--out={out}", *arguments]) == 2
        printed = capsys.readouterr()
        assert line in printed.err
        assert printed.err.count("\n") == 1
        assert printed.out == ""
    assert not out.exists()


@pytest.mark.parametrize(
    ("name", "folder", "said"),
    [
        ("folder", "data/MNIST", "MNIST"),
        ("folder", "/data/fashion-mnist/", "Fashion-MNIST"),
        ("folder", "~/photos of birds", "photos of birds"),
        ("cifar10", "/prepared", "CIFAR-10"),
        ("digits", None, "digits"),
        (None, None, None),
    ],
)
def test_a_folder_of_images_has_its_own_name(name, folder, said):
    config = base_config()
    config.model.name = "lenet5"
    if name is not None:
        config.data.name = name
    if folder is not None:
        config.data.dir = folder
    assert data_name(config) == said
    assert title(config) == ("lenet5" if said is None else f"lenet5 on {said}")
