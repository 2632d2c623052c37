"""What other libraries' messages become: one line, without colours, cut between words."""

import os

import pytest

from cnn_jax.runtime import exit_status, streams
from cnn_jax.runtime.errors import BadInputError, first_line, without_colours

COLOURED = "\x1b[1;31mnot\x1b[0m a \x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\ at all"


def test_codes_of_terminals_are_left_out():
    assert without_colours(COLOURED) == "not a link at all"
    assert first_line(ValueError(f"\n  {COLOURED}\nmore")) == "not a link at all"


def test_a_line_is_cut_between_words():
    assert first_line(ValueError("one two three"), 9) == "one ..."
    assert first_line(ValueError("one two"), 9) == "one two"
    assert first_line(ValueError()) == "ValueError"


def test_a_programs_line_has_no_colours(capsys):
    def run() -> int:
        raise BadInputError(COLOURED)

    assert exit_status.guarded("program", run, owned=False) == exit_status.BAD_INPUT
    assert capsys.readouterr().err == "program: not a link at all\n"


def test_what_libraries_write_is_dropped_inside_only(capfd):
    os.write(2, b"before\n")
    with streams.silenced():
        os.write(2, b"nothing\n")
    with pytest.raises(FileNotFoundError), streams.silenced():
        os.stat("nowhere")
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "before\nafter\n"
