"""Overrides from a file, and what `cnn-jax config` prints: the one is the other."""

import pytest

from cnn_jax import config as configs
from cnn_jax.config import library, override_file
from cnn_jax.runs.experiment import load_config
from cnn_jax.runtime.errors import BadInputError


def test_a_line_is_a_field_and_its_value(tmp_path):
    file = tmp_path / "overrides"
    file.write_text(
        "# all of it\n\noptim.learning_rate=0.3\n--config.data.batch_size = 16  # small\n"
        'data.augment={"flip": {}}\ndata.dir="a # b"\ndata.only=cat#1,dog\n'
    )
    assert override_file.read(file) == [
        "--config.optim.learning_rate=0.3",
        "--config.data.batch_size=16",
        '--config.data.augment={"flip": {}}',
        '--config.data.dir="a # b"',
        "--config.data.only=cat#1,dog",
    ]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"\noptim.learning_rate 3\n", "line 2 of '.*' is 'optim.learning_rate 3'; it has to be"),
        (b"a b=3\n", "line 1 of"),
        (b"\xff\xfe=1\n", "is no text in UTF-8"),
        (None, "No such file"),
    ],
)
def test_what_is_none_is_named(tmp_path, content, line):
    if content is not None:
        (tmp_path / "file").write_bytes(content)
    with pytest.raises(BadInputError, match=f"--overrides: .*{line}"):
        override_file.read(tmp_path / "file")


def test_the_command_line_counts_more():
    filed = ["--config.train.steps=5", "--config.seed=1", "--config.data.batch_size=4"]
    given = ["--config.train.epochs=2", "--config.seed=3"]
    assert override_file.merged(filed, given) == ["--config.data.batch_size=4", *given]


@pytest.mark.parametrize("name", library.configs())
def test_what_is_printed_of_a_config_makes_it_again(name, tmp_path):
    config = load_config(name)
    fields = configs.described(config)
    assert all(field.comment for field in fields)
    names = [field.name for field in fields]
    assert len(set(names)) == len(names)
    (tmp_path / "printed").write_text("\n".join(field.line for field in fields))
    again = load_config("lenet5_digits", override_file.read(tmp_path / "printed"))
    assert configs.to_json(again) == configs.to_json(config)


def test_every_field_of_the_library_is_described():
    names = {field.name for field in configs.described(load_config("lenet5_digits"))}
    assert {name for name, _ in configs.declared()} <= names
    assert {"data.augment", "optim.options", "model.dropout"} <= names


@pytest.mark.parametrize(
    ("flag", "field", "value"),
    [
        ("data.only=cat,dog", "only", ("cat", "dog")),
        ("data.only=0,7", "only", ("0", "7")),
        ("data.only=('a', 'b')", "only", ("a", "b")),
        ("data.only=None", "only", ()),
        ("data.mean=0.5", "mean", (0.5,)),
        ("data.std=0.1, 0.2", "std", (0.1, 0.2)),
        ("data.image_size=8,9", "image_size", (8, 9)),
        ("data.mean=None", "mean", None),
    ],
)
def test_a_sequence_needs_no_brackets(flag, field, value):
    assert load_config("lenet5_digits", [f"--config.{flag}"]).data[field] == value


def test_names_of_the_library_and_of_nothing():
    own = library.configs()
    assert {"lenet5_digits", "lenet5_mnist", "resnet20_cifar10"} <= own.keys()
    assert configs.read("resnet20_cifar10:110").model.name == "resnet110"
    with pytest.raises(BadInputError, match=r"called 'lenet5_mnst'; did you mean lenet5_mnist\?"):
        configs.read("lenet5_mnst")
    with pytest.raises(BadInputError, match="the library's own is --config=lenet5_mnist"):
        configs.read("nowhere/lenet5_mnist.py")


@pytest.mark.parametrize("file", library.configs().values(), ids=lambda file: file.stem)
def test_every_config_is_a_lab_note(file):
    note, text = library.note(file), file.read_text()
    assert all(note), note
    assert f"cnn-jax train --config={file.stem}" in text or "make demo" in text
