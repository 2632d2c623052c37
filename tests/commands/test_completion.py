"""Completion: what a shell is told when it asks."""

import subprocess

import pytest

from tests.fixtures import command, environment


def completions(line: str, tmp_path) -> list[str]:
    """Return what could stand at the end of a command line, as argcomplete hands it to bash."""
    out = tmp_path / "out"
    subprocess.run(
        command(),
        env=environment(
            _ARGCOMPLETE="1",
            _ARGCOMPLETE_IFS="\n",
            _ARGCOMPLETE_SHELL="bash",
            _ARGCOMPLETE_STDOUT_FILENAME=str(out),
            COMP_LINE=line,
            COMP_POINT=str(len(line)),
            COMP_TYPE="9",
        ),
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    return [each.strip() for each in out.read_text().split("\n")]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("cnn-jax pre", {"prepare", "predict"}),
        ("cnn-jax evaluate --wor", {"--workdir"}),
        ("cnn-jax train --config lenet5_d", {"lenet5_digits"}),
        ("cnn-jax train --config.optim.learn", {"--config.optim.learning_rate"}),
        ("cnn-jax summary --model squeezenet1", {"squeezenet1_0", "squeezenet1_1"}),
    ],
)
def test_commands_flags_names_and_fields(line, found, tmp_path):
    assert set(completions(line, tmp_path)) == found


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_code_of_a_shell(shell):
    done = subprocess.run(
        command("--print-completion", shell), capture_output=True, text=True, check=True
    )
    assert "cnn-jax" in done.stdout
    assert "_ARGCOMPLETE" in done.stdout


def test_another_shell_is_refused():
    done = subprocess.run(
        command("--print-completion=powershell"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "choose from" in done.stderr
