"""``import cnn_jax``: everything that the documents name, and nothing loaded before it is used."""

import subprocess
import sys
import types
from importlib import metadata
from pathlib import Path

import pytest

import cnn_jax

ROOT = Path(cnn_jax.__file__).parent
ROOMS = {path.parent.name for path in ROOT.glob("*/__init__.py")}


def in_a_new_process(program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize("name", cnn_jax.__all__)
def test_a_name_is_what_it_says(name):
    found = getattr(cnn_jax, name)
    if name in ROOMS:
        assert isinstance(found, types.ModuleType)
        assert found.__name__ == f"cnn_jax.{name}"
    else:
        assert callable(found)
        assert found.__name__ == name


def test_every_room_but_that_of_the_commands_is_reached():
    assert ROOMS - {*cnn_jax.__all__} == {"commands"}


def test_every_name_is_reached_before_any_other_was():
    program = (
        "import sys, cnn_jax\n"
        "names = set(cnn_jax.__all__)\n"
        "assert names <= set(dir(cnn_jax)), names - set(dir(cnn_jax))\n"
        "print(sorted(names & set(vars(cnn_jax))), sorted({'jax', 'numpy'} & set(sys.modules)))\n"
        "from cnn_jax import *\n"
        "print(sorted(names - set(globals())))\n"
    )
    assert in_a_new_process(program).splitlines() == ["[] []", "[]"]


def test_using_arrays_alone_loads_no_machinery_of_runs():
    program = (
        "import sys, cnn_jax\n"
        "cnn_jax.ops.conv2d\n"
        "print(sorted({'flax', 'orbax', 'cnn_jax.train.trainer'} & set(sys.modules)))\n"
    )
    assert in_a_new_process(program) == "[]"


def test_an_unknown_name_is_told_with_the_nearest():
    with pytest.raises(AttributeError, match="module 'cnn_jax' has no attribute 'Trainr'"):
        cnn_jax.Trainr  # noqa: B018 # pyright: ignore[reportAttributeAccessIssue]
    program = "import cnn_jax; cnn_jax.Trainr"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "Did you mean: 'Trainer'?" in done.stderr.splitlines()[-1]


def test_the_version_is_the_installed_one(monkeypatch):
    assert cnn_jax.__version__ == metadata.version("cnn-jax")
    assert "__version__" in dir(cnn_jax)

    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.delattr(cnn_jax, "__version__")  # asked for anew
    monkeypatch.setattr(metadata, "version", absent)
    assert cnn_jax.__version__ == "0+unknown"
    monkeypatch.delattr(cnn_jax, "__version__")


def test_the_package_says_that_it_has_types():
    assert (ROOT / "py.typed").is_file()
