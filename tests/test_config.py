"""Configs: every field by name, overrides by type, the lines that bad ones get."""

from pathlib import Path

import pytest

from cnn_jax import config as configs
from cnn_jax.errors import BadInputError
from cnn_jax.experiment import complete, load_config

LENET = "configs/lenet5_digits.py"


@pytest.mark.parametrize("path", sorted(Path("configs").glob("*.py")), ids=lambda path: path.stem)
def test_every_config_is_complete_and_survives_json(path):
    config = load_config(str(path))
    from cnn_jax import models

    again = configs.from_json(configs.to_json(config), models.fields(config.model.name))
    assert configs.difference(config, again) is None
    assert configs.to_json(config) == configs.to_json(again)


def test_overrides_take_the_types_of_their_fields():
    config = load_config(
        LENET,
        [
            "--config.optim.learning_rate=1",
            "--config.train.steps=7",
            "--config.optim.clip=2",
            "--config.data.mean=(0.5,)",
            '--config.data.augment={"pad_crop": {"padding": 1}, "flip": {}}',
        ],
    )
    assert config.optim.learning_rate == 1.0
    assert config.train.steps == 7
    assert config.optim.clip == 2.0
    assert config.data.mean == (0.5,)
    # As written, not as sorted: transforms are applied in this order.
    assert list(configs.ordered(config.data.augment)) == ["pad_crop", "flip"]


def test_the_models_name_decides_its_fields():
    config = load_config(LENET, ["--config.model.hidden=(5, 4)", "--config.model.name=mlp"])
    assert config.model.hidden == (5, 4)


def test_overriding_leaves_the_original_alone():
    config = load_config(LENET)
    configs.override(config, ["--config.seed=5"])
    assert config.seed == 0


@pytest.mark.parametrize(
    ("flags", "line"),
    [
        (
            ["--config.optim.learning_rat=1"],
            "config field 'optim.learning_rat' does not exist; did you mean 'optim.learning_rate'?",
        ),
        (["--config.optm.name=sgd"], "did you mean 'optim.name'?"),
        (["--config.model.hiden=(3,)", "--config.model.name=mlp"], "'model.hidden'"),
        (["--config.model.name=lenet"], "unknown model 'lenet'; did you mean lenet5"),
        (["--config.data.batch_size=3.5"], "'data.batch_size' takes an int, not '3.5'"),
        (["--config.optim.learning_rate=fast"], "'optim.learning_rate' takes a float, not 'fast'"),
        (["--config.seed=1", "--config.train.steps=x"], "'train.steps' takes an int, not 'x'"),
        (["--config.optim=sgd"], "'optim' is a section"),
        (["--config.data.batch_size=0"], "'data.batch_size' is 0; it has to be at least 1"),
        (["--config.data.validation=1"], "'data.validation' is 1.0"),
        (["--config.data.std=(0.0,)"], "'data.std' is (0.0,); it has to be above 0"),
        (["--config.data.mean=grey"], "'data.mean' is ('grey',)"),
        (["--config.data.image_size=big"], "'data.image_size' is 'big'"),
        (["--config.train.precision=float16"], "float32 | bfloat16 | float64"),
        (["--config.train.epochs=0"], "'train.epochs' is 0.0"),
        (["--workdi=x"], "unknown argument '--workdi=x'"),
    ],
)
def test_a_bad_override_is_named(flags, line):
    with pytest.raises(BadInputError) as caught:
        load_config(LENET, flags)
    assert line in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("def get_config(arg=None): return 1 / 0", "ZeroDivisionError"),
        ("def get_config(arg=None): return 3", "has to return a ConfigDict"),
        ("x = 1", "AttributeError"),
        ("def get_config(arg=None:", "SyntaxError"),
        (
            "from cnn_jax.config import base_config\n"
            "def get_config(arg=None):\n"
            "    config = base_config()\n"
            "    config.optim.momentun = 0.8\n"
            "    return config\n",
            "did you mean 'optim.momentum'?",
        ),
    ],
)
def test_a_bad_config_file_is_named(tmp_path, text, line):
    file = tmp_path / "bad.py"
    file.write_text(text)
    with pytest.raises(BadInputError) as caught:
        configs.read(str(file))
    assert line in str(caught.value)
    assert "bad.py" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_config_file_is_named_with_the_nearest():
    with pytest.raises(BadInputError, match=r"did you mean 'configs/lenet5_digits.py'"):
        configs.read("configs/lenet5_digit.py")


def test_an_argument_reaches_the_file(tmp_path):
    file = tmp_path / "with_argument.py"
    file.write_text(
        "from cnn_jax.config import base_config\n"
        "def get_config(arg=None):\n"
        "    config = base_config()\n"
        "    config.seed = int(arg)\n"
        "    return config\n"
    )
    assert configs.read(f"{file}:7").seed == 7


def test_a_difference_names_field_and_values_and_neutral_fields_make_none():
    one = load_config(LENET)
    other = load_config(LENET, ["--config.optim.momentum=0.8"])
    assert configs.difference(one, other) == "optim.momentum is 0.9 there and 0.8 here"
    neutral = ["--config.train.log_every=7", "--config.checkpoint.keep=9", "--config.data.dir=/x"]
    assert configs.difference(one, load_config(LENET, neutral)) is None
    swapped = complete(one, ['--config.data.augment={"flip": {}, "pad_crop": {"padding": 3}}'])
    turned = complete(one, ['--config.data.augment={"pad_crop": {"padding": 3}, "flip": {}}'])
    assert configs.difference(swapped, turned) is not None


def test_arguments_of_transforms_survive_json_as_tuples():
    config = configs.base_config()
    config.data.augment = {"random_resized_crop": {"area": (0.3, 1.0)}, "flip": {}}
    again = configs.from_json(configs.to_json(config), {})
    assert again.data.augment.random_resized_crop.area == (0.3, 1.0)
    assert configs.difference(again, config) is None
