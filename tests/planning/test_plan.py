"""Planning for a TPU slice: against the arithmetic of the network, and refusals."""

import importlib.util

import pytest

from cnn_jax.commands import main
from cnn_jax.planning import plan
from cnn_jax.runs.experiment import load_config
from cnn_jax.runtime.errors import BadInputError

CONFIG = "configs/lenet5_digits.py"

needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="the extra tpu is not installed"
)


def resnet50(batch_size: int, *flags: str):
    names = ["model.name=resnet50", "data.image_size=224", "data.classes=1000"]
    names += ["data.mean=(0.5,0.5,0.5)", "data.std=(0.5,0.5,0.5)", "train.precision=bfloat16"]
    names += ["data.augment={'flip':{}}", f"data.batch_size={batch_size}"]
    return load_config(CONFIG, [f"--config.{name}" for name in names] + list(flags))


def test_a_line_for_what_cannot_be_planned(capsys, monkeypatch):
    def fails(*flags: str) -> str:
        assert main.main(["plan", f"--config={CONFIG}", *flags]) == 2
        printed = capsys.readouterr()
        assert len(printed.err.splitlines()) == 1
        return printed.err

    assert "'v5e:2' ; it has" in fails("--topology=v5e:2").replace("';", "' ;")
    assert "generation (v4, v5e, v5p, v6e)" in fails("--topology=v99:2x2")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "pip install 'cnn-jax[tpu]'" in fails("--topology=v5e:2x2")
    monkeypatch.setattr(plan, "_devices", lambda topology: [None] * 7)
    assert "which 7 chips x optim.accumulate=1 do not divide" in fails("--topology=v5e:2x2")
    config = load_config(CONFIG)
    config.data.classes = None
    with pytest.raises(BadInputError, match=r"data.classes is unset and planning reads no data"):
        plan.plan(config, "v5e:2x2")


def planned(**changes):
    facts = {
        "topology": "v5e:2x2",
        "model": "resnet50",
        "image_shape": (224, 224, 3),
        "classes": 1000,
        "batch_size": 2048,
        "accumulate": 1,
        "chips": 4,
        "parameters": 2**20,
        "state": 3 * 2**20,
        "batch": 2**20,
        "temporaries": None,
        "total": 20 * 2**30,
        "memory": 16 * 2**30,
        "fits": False,
        "largest_part": 1600,
        "flops": None,
        "peak_flops": 197e12,
        "collectives": {},
    }
    return plan.StepPlan(**facts | changes)


def test_the_verdict_names_a_batch_and_an_accumulation_that_fit():
    assert planned().lines()[-2] == (
        "does not fit; by estimate data.batch_size=1600 would, or 2048 with optim.accumulate=2"
    )
    assert planned(largest_part=500).lines()[-2].endswith("optim.accumulate=8")
    assert "larger chips" in planned(largest_part=0).lines()[-2]
    assert planned(fits=True).lines()[-2] == "fits; by estimate up to 1600 images at once"


def test_the_estimate_is_linear_in_the_images():
    facts = {"state": 300, "parameters": 100, "batch_size": 64, "accumulate": 1, "chips": 4}
    # 400 are fixed, 64 images take 640: 10 an image.
    assert plan._largest(facts, 1040, 1400) == 100
    assert plan._largest(facts, 1040, 1399) == 96
    assert plan._largest(facts | {"accumulate": 4}, 1040, 1400) == 24
    assert plan._largest(facts, 1040, 300) == 0
    assert plan._largest(facts, None, 300) is None


def test_memory_that_runs_out_is_read_off_the_compilers_line():
    line = "RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory in memory "
    line += "space hbm. Used 20.50G of 15.75G hbm. Exceeded hbm capacity by 4.75G."
    assert plan._exhausted(line) == (int(20.5 * 2**30), int(15.75 * 2**30))
    assert plan._exhausted("anything else") == (None, None)


@needs_libtpu
@pytest.mark.slow
@pytest.mark.parametrize("topology", ["v5e:2x2", "v5e:16x16"])
def test_resnet50_compiles_for_a_slice(topology):
    chips = 4 if topology == "v5e:2x2" else 256
    found = plan.plan(resnet50(128 * chips), topology)
    print("", *found.lines(), sep="\n")
    params, statistics = 25_557_032, 53_120
    assert (found.chips, found.parameters) == (chips, 4 * params)
    # Momentum doubles them, BatchNorm keeps its statistics; some counters besides.
    assert 0 <= found.state - 4 * (2 * params + statistics) < 200
    assert found.batch == 128 * (224 * 224 * 3 + 4)
    assert found.fits
    assert found.total is not None
    assert found.flops is not None
    assert 2 * 2**30 < found.total < found.memory == 16 * 2**30
    # Three passes over 4.089 G multiply-adds; the compiler counts less for padded positions.
    assert 0.8 < found.flops / (3 * 2 * 128 * 4.089e9) < 1.1
    # Every gradient is summed over the chips.
    reduced = found.collectives["all-reduce"]
    assert reduced.count > 1
    assert reduced.bytes >= 2 * params


@needs_libtpu
@pytest.mark.slow
def test_a_slice_that_is_not_made():
    with pytest.raises(BadInputError, match="libtpu has no such slice"):
        plan.plan(load_config(CONFIG), "v5e:3x5")
