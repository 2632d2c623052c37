"""The live table, drawn on a pseudo-terminal, and the time it announces."""

import collections
import contextlib
import json
import os
import pty
import re
import termios
import time
from collections.abc import Callable

from cnn_jax.ablation import cells, progress
from cnn_jax.ablation.progress import Progress
from cnn_jax.ablation.stored import Cell


def on_terminal(monkeypatch, show: Callable[[], None]) -> str:
    """Return what ``show`` draws where stderr is a terminal of 24 lines and 90 columns."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 90))
    os.set_blocking(master, False)
    monkeypatch.setenv("TERM", "xterm")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    with os.fdopen(slave, "w") as stderr, monkeypatch.context() as patch:
        patch.setattr("sys.stderr", stderr)
        show()
        drawn = b""
        with contextlib.suppress(BlockingIOError):  # nothing is left to read
            while True:
                drawn += os.read(master, 1 << 16)
    os.close(master)
    return drawn.decode()


def four_cells(folder) -> tuple[Progress, list[Cell]]:
    made = [Cell(arm, seed, "0" * 12, 60) for seed in (0, 1) for arm in ("narrow", "wide")]
    for cell in made:
        cells.folder_of(folder, cell).mkdir(parents=True)
    now = Progress(4, collections.deque([(made[3],)]))
    now.started = time.monotonic() - 90
    now.end((made[0],), ["done"])
    now.end((made[1],), ["failed"])
    now.start((made[2],))
    line = json.dumps({"step": 30, "split": "train"}) + "\n"
    (cells.folder_of(folder, made[2]) / "metrics.jsonl").write_text(line)
    return now, made


def test_the_live_table_on_a_terminal(tmp_path, monkeypatch):
    now, _ = four_cells(tmp_path)

    def show() -> None:
        with progress.shown(tmp_path, now):
            pass

    drawn = on_terminal(monkeypatch, show)
    # The last frame, without the codes that move the cursor and set colours.
    frame = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn[drawn.rindex("2 of 4 cells") :])
    assert "\x1b[" in drawn  # it is redrawn in place
    rows = [re.split(r"\s*[│┃]\s*", line.strip("│┃ \r")) for line in frame.splitlines()]
    assert "0:54 left" in rows[0][0] or "0:53 left" in rows[0][0]  # 150 steps in 90 s, 90 to go
    assert ["narrow-seed0-000000000000", "", "done"] in rows
    assert ["wide-seed0-000000000000", "", "failed"] in rows
    assert ["narrow-seed1-000000000000", "30/60", "running"] in rows
    assert ["1 more", "", "waiting"] in rows


def test_elsewhere_a_line_for_each_cell_that_ends(tmp_path, capsys):
    now, _ = four_cells(tmp_path)
    with progress.shown(tmp_path, now):
        pass
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[:3] for line in lines] == [
        ["1/4 cells", "narrow-seed0-000000000000", "done"],
        ["2/4 cells", "wide-seed0-000000000000", "failed"],
    ]


def test_the_time_left_is_unknown_before_the_first_step(tmp_path):
    now = Progress(1, collections.deque([(Cell("arm", 0, "0", 60),)]))
    assert progress.remaining(tmp_path, now) is None
