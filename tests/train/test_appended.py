"""Logs after damage: what a resumed run keeps, and what it says."""

import json

import pytest

from cnn_jax.train.appended import Mark, mark, marks, read
from cnn_jax.train.logging import RunLog, cut_back, cut_flow_back


def line(step, split="train"):
    return {"step": step, "split": split, "loss": 0.5, "accuracy": 0.25, "examples": 4}


LINES = [line(step, split) for step in (10, 20, 30) for split in ("train", "validation")]


@pytest.fixture
def written(tmp_path):
    file = tmp_path / "metrics.jsonl"
    with RunLog(file, step=0, total=40, batch_size=4) as log:
        for each in LINES:
            metrics = {name: value for name, value in each.items() if name not in ("step", "split")}
            log.write(each["step"], each["split"], metrics)
            noted = marks(log.marks()["metrics.jsonl"])  # a checkpoint after each line
        assert noted[-1] == mark(file)
        assert len(noted) == len(LINES)
    return file, noted


def test_what_the_checkpoint_knows_stays_byte_for_byte(written):
    file, noted = written
    content = file.read_bytes()
    file.write_bytes(content + json.dumps(line(40)).encode() + b"\n" + b'{"step": 50, "sp')
    assert cut_back(file, 30, noted) is None
    assert file.read_bytes() == content


def double(lines):
    return lines[:2] + lines


def drop(lines):
    return lines[:1] + lines[2:]


def garble(lines):
    return [*lines[:2], b"\xff\x00{", b"[]", b"null", b'{"step": "20"}', *lines[2:]]


def wrong_types(lines):
    return [*lines[:2], lines[2].replace(b"20", b"2.5"), *lines[3:]]


def flip(lines):
    return [*lines[:2], lines[2].replace(b"0.5", b"0.7"), *lines[3:]]


def cut(lines):
    return [*lines[:3], lines[3][:9]]


def others(lines):
    return [each.replace(b"0.5", b"0.6") for each in lines]


@pytest.mark.parametrize(
    ("damage", "whole"),
    [(double, 6), (drop, 1), (garble, 6), (wrong_types, 2), (flip, 2), (cut, 3), (others, 0)],
)
def test_after_damage_no_line_is_kept_that_no_checkpoint_vouches_for(written, damage, whole):
    file, noted = written
    damaged = b"\n".join(damage(file.read_bytes().splitlines()))
    file.write_bytes(damaged)
    read(file)
    said = str(cut_back(file, 30, noted))
    assert "not what it was at the checkpoint" in said
    assert f"first {whole} lines are kept" in said
    assert read(file) == LINES[:whole]
    assert "metrics.jsonl.damaged-1" in said
    assert file.with_name("metrics.jsonl.damaged-1").read_bytes() == damaged
    # What is noted from here on begins with what is left.
    assert cut_back(file, 30, noted[:whole]) is None
    with RunLog(file, step=0, total=40, batch_size=4, noted={file.name: noted}) as log:
        log.write(30, "train", {"loss": 0.5})
        assert log.marks()[file.name] == [*map(list, noted[:whole]), list(mark(file))]


def test_a_log_that_is_gone_is_said(tmp_path):
    said = str(cut_back(tmp_path / "metrics.jsonl", 30, [Mark(100, 7)]))
    assert "first 0 lines are kept" in said
    assert "damaged-1" not in said


def test_the_one_mark_that_earlier_versions_noted_is_read(written):
    file, noted = written
    assert marks(list(noted[-1])) == [noted[-1]]
    assert marks(None) == []
    file.write_bytes(file.read_bytes() + b"{}")
    assert cut_back(file, 30, marks(list(noted[-1]))) is None
    assert mark(file) == noted[-1]


def test_without_a_note_damaged_lines_are_counted_and_a_torn_last_one_is_no_damage(written):
    file, _ = written
    content = file.read_bytes()
    file.write_bytes(content[:-9])
    assert cut_back(file, 30) is None
    assert read(file) == LINES[:-1]
    file.write_bytes(b"nonsense\n" + content)
    assert "1 of its lines" in str(cut_back(file, 30))
    assert read(file) == LINES


def test_a_loss_that_is_not_finite_is_null(tmp_path):
    file = tmp_path / "metrics.jsonl"
    with RunLog(file, step=0, total=1, batch_size=4) as log:
        log.write(1, "test", {"loss": float("nan"), "accuracy": 0.0})
    held = json.loads(file.read_text(), parse_constant=lambda name: pytest.fail(name))
    assert held["loss"] is None
    assert read(file) == [held]


def test_the_flow_is_cut_before_the_step_that_measures_again(tmp_path):
    file = tmp_path / "flow.jsonl"
    flows = [
        {
            "step": step,
            "gradient": {"a": 1.0},
            "update_to_weight": {"a": None},
            "branch_to_skip": {},
        }
        for step in (0, 9, 18)
    ]
    file.write_text("".join(json.dumps(flow) + "\n" for flow in flows))
    assert cut_flow_back(file, 9) is None
    assert read(file) == flows[:1]


@pytest.mark.parametrize("stream", [None, "closed"])
def test_a_log_goes_on_without_stderr(tmp_path, monkeypatch, stream):
    closed = (tmp_path / "stderr").open("w")
    closed.close()
    monkeypatch.setattr("sys.stderr", None if stream is None else closed)
    with RunLog(tmp_path / "metrics.jsonl", step=0, total=1, batch_size=4) as log:
        log.progress(1, 0.5)
        log.write(1, "train", {"loss": 0.5})
    assert len(read(tmp_path / "metrics.jsonl")) == 1
