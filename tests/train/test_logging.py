"""metrics.jsonl: what survives a kill, and what a resumed run drops."""

import json

from cnn_jax.train.logging import RunLog, cut_back, read_metrics


def line(step, split="train"):
    return {"step": step, "split": split, "loss": 0.5}


def test_a_torn_last_line_is_left_out(tmp_path):
    file = tmp_path / "metrics.jsonl"
    file.write_text(json.dumps(line(1)) + "\n" + json.dumps(line(2))[:-4])
    assert read_metrics(file) == [line(1)]


def test_cutting_back_keeps_what_the_checkpoint_knows(tmp_path):
    file = tmp_path / "metrics.jsonl"
    lines = [line(1), line(2), line(2, "validation"), line(3), line(3, "test")]
    file.write_text("".join(json.dumps(x) + "\n" for x in lines))
    cut_back(file, 3)
    assert read_metrics(file) == lines[:4]
    cut_back(file, 2)
    assert read_metrics(file) == lines[:3]
    cut_back(tmp_path / "none.jsonl", 0)
    assert read_metrics(tmp_path / "none.jsonl") == []


def test_each_line_is_on_disk_when_written_and_appended(tmp_path, capsys):
    file = tmp_path / "metrics.jsonl"
    for step in (1, 2):
        with RunLog(file, step=step - 1, total=2, batch_size=4) as log:
            log.write(step, "train", {"loss": 0.5})
            assert read_metrics(file)[-1] == line(step)
    assert len(read_metrics(file)) == 2
    printed = capsys.readouterr()
    assert printed.out == ""  # results alone go to stdout
    assert "step 2/2  train       loss 0.5" in printed.err
