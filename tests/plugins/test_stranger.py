"""A stranger's file outside the package is trained, used, resumed and compared like our own."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
IMPORT = f"--import={HERE / 'stranger.py'}"
CONFIG = f"--config={HERE / 'stranger_config.py'}"
STUDY = f"""
import sys
sys.path.insert(0, {str(HERE)!r})
from stranger_config import get_config
from cnn_jax.ablation import Arm, Study, main

def study(preset):
    arms = [Arm("plain"), Arm("se", {{"model.attention": "squeeze_excite"}}, against="plain",
            factor=["model.attention"])]
    return Study(name="attention", question="?", hypothesis="?", base=get_config(), arms=arms,
                 seeds=2, endpoint="test", smallest=0.01, equal=())

if __name__ == "__main__":
    sys.exit(main(study))
"""


def run(*arguments, python=("-m", "cnn_jax"), expect=0):
    command = [sys.executable, *python, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == expect, done.stderr
    return done.stdout if expect == 0 else done.stderr


@pytest.mark.slow
def test_a_strangers_file_goes_all_the_way(tmp_path):
    folder, killed, fields = tmp_path / "run", tmp_path / "killed", ["--config.train.steps=400"]
    fields += ["--config.model.attention=squeeze_excite", "--config.task.measures=('entropy',)"]
    run("train", IMPORT, CONFIG, f"--workdir={folder}", *fields)
    command = [sys.executable, "-m", "cnn_jax", "train", IMPORT, CONFIG, f"--workdir={killed}"]
    process = subprocess.Popen([*command, *fields], stderr=subprocess.DEVNULL)
    while not list(killed.glob("checkpoints/[0-9]*")):
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    run(*command[3:], *fields)
    results = [json.loads((each / "result.json").read_text()) for each in (folder, killed)]
    assert results[0]["metrics"] == results[1]["metrics"]
    assert results[0]["metrics"]["test"]["entropy"] > 0
    assert set(results[0]["plugins"]) > {"model small", "task focal", "layer squeeze_excite"}

    line = run("evaluate", f"--workdir={folder}", expect=2)
    assert "its task 'focal' comes from --import=" in line
    assert "stranger.py: give that flag" in line
    measured = json.loads(run("evaluate", f"--workdir={folder}", IMPORT, f"--out={tmp_path}"))
    assert measured["loss"] < measured["log_loss"]  # focal against plain
    with np.load(tmp_path / "scores.npz") as held:
        right = held["scores"].argmax(1) == held["label"]
    assert right.mean() == measured["accuracy"]
    image = next(Path(tmp_path).rglob("*.png"))
    assert json.loads(run("predict", f"--workdir={folder}", IMPORT, image))["classes"]
    run("export", f"--workdir={folder}", IMPORT, f"--to={tmp_path / 'small.zip'}")
    run("inspect", f"--workdir={folder}", IMPORT, "--what=saliency", f"--out={tmp_path / 'in'}")
    tuned = [CONFIG, f"--workdir={tmp_path / 'tuned'}", f"--config.init.source={folder}"]
    run("train", IMPORT, *tuned, *fields, "--config.init.restart=('Dense_0*',)")
    (tmp_path / "attention.py").write_text(STUDY)
    run(IMPORT, f"--workdir={tmp_path / 'study'}", "--jobs=1", python=[tmp_path / "attention.py"])
    assert "attention" in (tmp_path / "study" / "report.md").read_text()
