"""Configs: every field by name, overrides by type, the lines that bad ones get."""

import runpy
import sys
from pathlib import Path

import pytest

from cnn_jax import config as configs
from cnn_jax import models
from cnn_jax.runs.experiment import complete, load_config
from cnn_jax.runtime.errors import BadInputError

LENET = "configs/lenet5_digits.py"


@pytest.mark.parametrize("path", sorted(Path("configs").glob("*.py")), ids=lambda path: path.stem)
def test_every_config_is_complete_and_survives_json(path):
    config = load_config(str(path))
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


def test_none_unsets_a_field_that_may_be_unset():
    flags = ["--config.optim.clip=2", "--config.data.dir=/x", "--config.data.mean=(0.5,)"]
    given = load_config(LENET, flags)
    unset = [flag.partition("=")[0] + "=None" for flag in flags]
    config = complete(given, unset)
    assert (config.optim.clip, config.data.dir, config.data.mean) == (None, None, None)
    assert complete(config, ["--config.optim.clip=3"]).optim.clip == 3.0
    # Of a field that is given twice, the last value counts.
    assert complete(given, ["--config.optim.clip=None", flags[0]]).optim.clip == 2.0
    plain = ["--config.model.name=resnet20", "--config.model.shortcut=None"]
    made = load_config("configs/resnet20_cifar10.py", plain)
    assert made.model.shortcut is None
    assert complete(made, ["--config.model.shortcut=B"]).model.shortcut == "B"


def test_a_run_is_as_long_as_was_said_last():
    epochs = load_config(LENET)
    assert (epochs.train.steps, epochs.train.epochs) == (None, 60.0)
    steps = complete(epochs, ["--config.train.steps=7"])
    assert (steps.train.steps, steps.train.epochs) == (7, None)
    again = complete(steps, ["--config.train.steps=None", "--config.train.epochs=2"])
    assert (again.train.steps, again.train.epochs) == (None, 2.0)
    configs.set_field(again, "train.steps", 9)
    assert (again.train.steps, again.train.epochs) == (9, None)
    again.train.epochs = 1.0
    with pytest.raises(BadInputError, match=r"'train.steps' and 'train.epochs' both say"):
        complete(again)


def test_python_is_told_as_the_command_line_is():
    config = configs.base_config()
    config.model.name, config.data.name, config.optim.momentun = "lenet5", "digits", 0.8
    with pytest.raises(BadInputError, match=r"did you mean 'optim\.momentum'"):
        complete(config)
    config = configs.base_config()
    config.model.name, config.data.name, config.model.dropot = "lenet5", "digits", 0.5
    with pytest.raises(BadInputError, match=r"did you mean 'model\.dropout'"):
        complete(config)


def test_every_field_is_declared_with_a_range_that_holds_its_default_and_a_comment():
    base = dict(configs.leaves(configs.base_config()))
    declared = dict(configs.declared())
    assert list(declared) == list(base)
    for name, field in declared.items():
        assert field.comment, name
        assert field.range is not None, name
        assert field.optional or field.range.holds(field.default), name
    for model in models.MODELS:
        fields = models.fields(model)
        assert models.declared(model).keys() == fields.keys()
        for name, (allowed, optional) in models.declared(model).items():
            assert allowed is not None, (model, name)
            unset = fields[name] is None or isinstance(fields[name], type)
            assert (optional and unset) or allowed.holds(fields[name]), (model, name)


STUDIES = [
    path for path in sorted(Path("experiments").glob("*.py")) if "def study(" in path.read_text()
]


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_arm_of_every_study_passes(path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(path.parent), *sys.path])
    declare = runpy.run_path(str(path))["study"]
    for preset in ("smoke", "short", "paper"):
        study = declare(preset)
        for arm in study.arms:
            study.config(arm)


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
        (["--config.seed=-1"], "'seed' is -1; it has to be a whole number from 0 to 2**64 - 1"),
        (["--config.seed=99999999999999999999"], "'seed' is 99999999999999999999"),
        (["--config.data.shuffle_pixels=-1"], "'data.shuffle_pixels' is -1"),
        (["--config.data.image_size=True"], "'data.image_size' is True"),
        (["--config.data.image_size=2147483648"], "'data.image_size' is 2147483648"),
        (["--config.data.image_size=(32,)"], "'data.image_size' is (32,)"),
        (["--config.data.image_size=(8, 8, 8)"], "'data.image_size' is (8, 8, 8)"),
        (["--config.data.batch_size=2147483648"], "'data.batch_size' is 2147483648"),
        (["--config.data.only='a','a'"], "'data.only' is ('a', 'a')"),
        (["--config.data.mean=(nan,)"], "'data.mean' is"),
        (["--config.optim.momentum=-1"], "'optim.momentum' is -1.0"),
        (["--config.optim.weight_decay=-1"], "'optim.weight_decay' is -1.0"),
        (["--config.optim.clip=-1"], "'optim.clip' is -1.0"),
        (["--config.optim.clip=0"], "'optim.clip' is 0.0"),
        (["--config.optim.learning_rate=inf"], "'optim.learning_rate' is inf"),
        (["--config.optim.learning_rate=nan"], "'optim.learning_rate' is nan"),
        (["--config.optim.label_smoothing=1.5"], "'optim.label_smoothing' is 1.5"),
        (["--config.optim.label_smoothing=-0.1"], "'optim.label_smoothing' is -0.1"),
        (["--config.optim.warmup=-1"], "'optim.warmup' is -1"),
        (["--config.optim.factor=-1"], "'optim.factor' is -1.0"),
        (["--config.optim.milestones=-3"], "'optim.milestones' is (-3,); it has to be growing"),
        (["--config.optim.milestones=0.5,0.75"], "'optim.milestones' is (0.5, 0.75)"),
        (["--config.optim.milestones=3,3"], "'optim.milestones' is (3, 3)"),
        (["--config.optim.milestones='a','b'"], "'optim.milestones' is ('a', 'b')"),
        (["--config.optim.schedule=step"], "optim.milestones"),
        (["--config.optim.schedule=linear"], "optim.schedule is 'linear'"),
        (["--config.optim.name=sdg"], "optim.name is 'sdg'"),
        (["--config.train.epochs=inf"], "'train.epochs' is inf"),
        (["--config.train.steps=0"], "'train.steps' is 0"),
        (["--config.train.steps=2147483648"], "'train.steps' is 2147483648"),
        (["--config.train.writers=(3,)"], "'train.writers' is (3,)"),
        (["--config.checkpoint.keep=0"], "'checkpoint.keep' is 0"),
        (["--config.eval.every=0"], "'eval.every' is 0"),
        (["--config.model.dropout=-1"], "'model.dropout' is -1.0"),
        (["--config.model.dropout=2"], "'model.dropout' is 2.0"),
        (["--config.model.downsample=poool"], "'model.downsample' is 'poool'; it has to be 'pool'"),
        (["--config.model.name=mlp", "--config.model.hidden=(0,)"], "'model.hidden' is (0,)"),
        (["--config.model.name=mlp", "--config.model.hidden=('a',)"], "'model.hidden' is ('a',)"),
        (["--config.model.name=resnet20", "--config.model.width=0"], "'model.width' is 0"),
        (["--config.model.name=resnet20", "--config.model.width=-4"], "'model.width' is -4"),
        (["--config.model.name=resnet20", "--config.model.stages=()"], "'model.stages' is ()"),
        (["--config.model.name=resnet20", "--config.model.stages=(1, 0)"], "'model.stages' is"),
        (["--config.model.name=resnet20", "--config.model.stages=(99999,)"], "'model.stages'"),
        (["--config.model.name=resnet20", "--config.model.shortcut=D"], "'model.shortcut' is 'D'"),
        (["--config.model.name=resnet50", "--config.model.version=2"], "'model.version' is 2.0"),
        (["--config.model.name=vgg11", "--config.model.stages=(1, 1)"], "'model.stages' is (1, 1)"),
        (["--config.model.name=alexnet_2012", "--config.model.groups=3"], "'model.groups' is 3"),
        (["--config.model.name=squeezenet1_0", "--config.model.pools=()"], "'model.pools' is ()"),
        (["--config.model.name=mobilenet_v1", "--config.model.width=0"], "'model.width' is 0.0"),
        (["--config.seed=None"], "'seed' takes an int, not 'None'"),
        (["--config.train.steps=3", "--config.train.epochs=1"], "train.steps and train.epochs"),
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
