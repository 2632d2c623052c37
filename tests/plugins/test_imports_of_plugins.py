"""What --import and register refuse, with one line each, and nothing half registered."""

import subprocess
import sys

import pytest

from cnn_jax import models, registry
from cnn_jax.runtime.errors import BadInputError

MODEL = """
import flax.linen as nn
from cnn_jax import register

class Net(nn.Module):
    num_classes: int

register("model", {name!r}, Net)
{more}
"""


def plugin(tmp_path, name, more="", file="mine.py"):
    path = tmp_path / file
    path.write_text(MODEL.format(name=name, more=more))
    return str(path)


def test_a_file_that_raises_registers_nothing_and_says_where(tmp_path):
    spec = plugin(tmp_path, "raising", "x = 1 / 0")
    with pytest.raises(BadInputError, match=r"mine\.py: ZeroDivisionError: .* \(line 9\)$"):
        registry.import_plugin(spec)
    assert "raising" not in models.MODELS


def test_a_name_of_our_own_cannot_be_taken(tmp_path):
    spec = plugin(tmp_path, "resnet18")
    line = r"registers the model 'resnet18', a name that is cnn-jax's own; choose another name$"
    with pytest.raises(BadInputError, match=line):
        registry.import_plugin(spec)
    assert models.create("resnet18", num_classes=2) is not None


def test_a_name_of_another_plugin_cannot_be_taken_and_the_same_one_may_come_again(tmp_path):
    first = plugin(tmp_path, "taken_once")
    registry.import_plugin(first)
    registry.import_plugin(first)
    plugin(tmp_path, "taken_once", "# changed")
    registry.import_plugin(first)  # the file as it is now
    second = plugin(tmp_path, "taken_once", file="other.py")
    with pytest.raises(BadInputError, match=r"'taken_once', a name that is .*mine\.py's"):
        registry.import_plugin(second)


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        ("absent.py", r"^--import: there is no file 'absent\.py'$"),
        ("no_such_module", r"^--import: no_such_module: there is no module 'no_such_module'"),
        ("", r"^--import is empty"),
    ],
)
def test_what_is_missing_is_named(spec, line):
    with pytest.raises(BadInputError, match=line):
        registry.import_plugin(spec)


@pytest.mark.parametrize(
    ("kind", "name", "line"),
    [
        ("modle", "x", r"there is no kind 'modle'; did you mean model\?"),
        ("model", "a.b", r"a model called 'a\.b'; a name has letters, digits"),
        ("dataset", "mnist", r"registers the dataset 'mnist', a name that is cnn-jax's own"),
        ("optimizer", "sgd", r"'sgd', a name that is cnn-jax's own"),
    ],
)
def test_register_refuses_what_is_no_kind_or_name(kind, name, line):
    import cnn_jax.data.sources
    import cnn_jax.train.optim  # noqa: F401 - their tables

    with pytest.raises(BadInputError, match=line):
        registry.register(kind, name, object())


def test_the_command_prints_one_line(tmp_path):
    spec = plugin(tmp_path, "vgg16")
    command = [sys.executable, "-m", "cnn_jax", "summary", "--model=vgg16", f"--import={spec}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "vgg16" in done.stderr


def test_a_models_fields_take_classes_and_functions_and_their_names():
    module = models.create("resnet20", num_classes=3, act="gelu", norm=None)
    assert getattr(module, "act").__name__ == "gelu"  # noqa: B009 - no field of nn.Module
    with pytest.raises(
        BadInputError, match=r"^model\.act: unknown layer 'gello'; did you mean gelu"
    ):
        models.create("resnet20", num_classes=3, act="gello")
