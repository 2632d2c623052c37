"""Config files as people write them: what works, and the line that the others get."""

import sys
from pathlib import Path

import numpy as np
import pytest
from ml_collections import ConfigDict, FrozenConfigDict

from cnn_jax import config as configs
from cnn_jax.runs.experiment import complete
from cnn_jax.runtime.errors import BadInputError

START = "from cnn_jax.config import base_config\n"
BODY = (
    "    c = base_config()\n"
    "    c.model.name, c.data.name, c.data.image_size = 'lenet5', 'digits', 32\n"
)


def write(folder: Path, text: str, name: str = "own.py") -> str:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return str(folder / name)


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        # Dataclasses look up the module in which they are made.
        (
            "from __future__ import annotations\nimport dataclasses\n"
            + START
            + "@dataclasses.dataclass\nclass H:\n    rate: float = 0.3\n"
            + f"def get_config(arg=None):\n{BODY}"
            + "    c.optim.learning_rate = H().rate\n    return c\n",
            0.3,
        ),
        (START + f"def get_config():\n{BODY}    return c\n", 0.1),
        (START + f"def get_config(*arguments):\n{BODY}    return c\n", 0.1),
        (
            START + "import numpy as np\n" + f"def get_config(arg=None):\n{BODY}"
            "    c.optim.learning_rate = np.float32(0.5)\n    return c\n",
            0.5,
        ),
        (
            START + "from ml_collections import FrozenConfigDict\n"
            f"def get_config(arg=None):\n{BODY}    return FrozenConfigDict(c)\n",
            0.1,
        ),
        (
            "from ml_collections import ConfigDict\n"
            "class Mine(ConfigDict):\n    pass\n"
            "def get_config(arg=None):\n"
            "    return Mine({'model': {'name': 'lenet5'}, 'data': {'name': 'digits'},"
            " 'optim': {'learning_rate': 2}})\n",
            2.0,
        ),
    ],
    ids=["dataclass", "no parameter", "any parameters", "numpy", "frozen", "own class"],
)
def test_what_a_file_may_do(tmp_path, text, rate):
    config = complete(configs.read(write(tmp_path, text)), ["--config.train.steps=3"])
    assert (config.model.name, config.optim.learning_rate) == ("lenet5", rate)
    # Fields have their types, wherever the config came from.
    assert complete(config, ["--config.optim.clip=2"]).optim.clip == 2.0


def test_files_of_one_name_and_their_siblings_stay_apart(tmp_path):
    path, modules = list(sys.path), set(sys.modules)
    for folder, seed in (("a", 1), ("b", 2)):
        write(tmp_path / folder, f"SEED = {seed}\n", "beside_it.py")
        file = write(
            tmp_path / folder,
            START + f"import beside_it\ndef get_config(arg=None):\n{BODY}"
            "    c.seed = beside_it.SEED\n    return c\n",
        )
        assert configs.read(file).seed == seed
    assert sys.path == path
    assert "beside_it" not in set(sys.modules) - modules


@pytest.mark.parametrize(
    ("text", "argument", "line"),
    [
        ("def get_config(arg=None):\n    raise SystemExit(3)\n", "", "SystemExit: 3 (line 2)"),
        ("x = 1\n\ndef get_config(arg=None):\n    return {\n", "", "line 4"),
        ("def get_config(arg=None):\n\n    return 1 / 0\n", "", "division by zero (line 3)"),
        ("def get_config(arg=None):\n    return {'seed': 1}\n", "", "has to return a ConfigDict"),
        (START + f"def get_config():\n{BODY}    return c\n", ":7", "takes no argument; leave ':7'"),
        ("def get_config(a, b): pass\n", "", "get_config(a, b) has to take one argument"),
        ("get_config = 3\n", "", "TypeError"),
        (
            START + f"def get_config(arg=None):\n{BODY}    c.optim.momentum = 'high'\n",
            "",
            "TypeError",
        ),
        (
            START + f"def get_config(arg=None):\n{BODY}    c.optim.learning_rate = True\n",
            "",
            "True is no number",
        ),
        (
            "from ml_collections import ConfigDict\n"
            "def get_config(arg=None): return ConfigDict({'optim': {'momentun': 1}})\n",
            "",
            "did you mean 'optim.momentum'?",
        ),
        (
            "from ml_collections import ConfigDict\n"
            "def get_config(arg=None): return ConfigDict({'optim': 3})\n",
            "",
            "config field 'optim' is a section, not 3",
        ),
        (
            "from ml_collections import ConfigDict\n"
            "def get_config(arg=None): return ConfigDict({'seed': 'x'})\n",
            "",
            "config field 'seed' takes an int, not 'x'",
        ),
    ],
)
def test_the_line_that_a_file_gets(tmp_path, text, argument, line):
    with pytest.raises(BadInputError) as told:
        configs.read(write(tmp_path, text) + argument)
    assert line in str(told.value)
    assert "own.py" in str(told.value)
    assert "\n" not in str(told.value)


def test_a_folder_and_bytes_that_are_no_text_are_named(tmp_path):
    with pytest.raises(BadInputError, match="is a folder"):
        configs.read(str(tmp_path))
    file = tmp_path / "latin.py"
    file.write_bytes(b"x = '\xe9'\n")
    with pytest.raises(BadInputError, match=r"latin\.py.*SyntaxError"):
        configs.read(str(file))


def test_sections_take_numbers_and_sequences_of_any_make():
    config = configs.base_config()
    config.data.batch_size = np.int64(64)
    config.data.mean = np.array([0.5, 0.25])
    config.data.image_size = [32, 28]
    config.data.augment = {"pad_crop": {"padding": np.int64(3)}, "a": ConfigDict({"b": [1]})}
    config.train.deterministic = np.bool_(True)
    assert [type(value) for value in (config.data.batch_size, config.data.mean[0])] == [int, float]
    assert (config.data.mean, config.data.image_size) == ((0.5, 0.25), (32, 28))
    assert config.train.deterministic is True
    config.data.augment["pad_crop"].padding = np.int32(2)
    assert type(config.data.augment["pad_crop"].padding) is int
    again = configs.from_json(configs.to_json(config), {})
    assert configs.to_json(again) == configs.to_json(config)
    assert configs.difference(again, config) is None


def test_a_frozen_config_keeps_the_order_of_transforms():
    config = configs.base_config()
    config.model.name, config.data.name = "lenet5", "digits"
    config.data.augment = {"pad_crop": {"padding": 3}, "flip": {}}
    made = configs.whole(FrozenConfigDict(config))
    assert configs.difference(config, made) is None
    assert list(configs.ordered(made.data.augment)) == ["pad_crop", "flip"]
