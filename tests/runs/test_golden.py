"""The first ten losses of two runs, to many digits: nothing that is computed changes unnoticed."""

import json

import pytest

from tests import fixtures

GOLDEN = {
    "lenet5": [
        4.3377695813,
        4.5207019183,
        3.8406083333,
        2.8945848293,
        2.8157183029,
        3.0509763462,
        2.5543902742,
        2.6042260963,
        2.4471204175,
        2.2337176055,
    ],
    "resnet20": [
        2.9731728323,
        3.2492322721,
        2.9849692707,
        3.0867945437,
        2.8024170770,
        2.9780762568,
        2.6032010538,
        2.7566509820,
        2.2361412324,
        2.5608646599,
    ],
}

WHY = """
The first losses of {name} are not what they were:
    was {was}
    is  {now}
If a change was meant to alter what is computed (initial weights, order, augmentation, an operator,
an optimizer, a default), put the new numbers into tests/runs/test_golden.py and say so in the
commit:
runs from before it cannot be continued or compared bit for bit. If not, it is a defect."""


@pytest.mark.parametrize("name", ["lenet5", pytest.param("resnet20", marks=pytest.mark.slow)])
def test_first_losses(name, tmp_path):
    done = fixtures.run(
        "train",
        "--config=configs/lenet5_digits.py",
        f"--config.model.name={name}",
        "--config.data.batch_size=32",
        "--config.train.precision=float64",
        "--config.train.steps=10",
        "--config.train.log_every=1",
        f"--workdir={tmp_path}",
    )
    assert done.returncode == 0, done.stderr
    lines = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    now = [line["loss"] for line in lines if line["split"] == "train"]
    # In float64 versions, devices and processors differ by rounding alone.
    same = now == pytest.approx(GOLDEN[name], rel=1e-7)
    assert same, WHY.format(name=name, was=GOLDEN[name], now=now)
