"""The house's order: imports run one way, and each library has one door."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import cnn_jax

ROOT = Path(cnn_jax.__file__).parent

# From the ground up; a module imports from floors below its own, or within its room.
FLOORS = [
    {"runtime"},
    {"registry"},
    {"ops"},
    {"nn"},
    {"models", "data", "analysis", "tasks"},
    {"train"},
    {"transfer", "config"},
    {"runs"},
    {"ablation", "deploy", "planning"},
    {"inspection"},
    {"commands"},
    {"__main__", "__init__"},
]
# Rooms that may not know each other, both ways; neighbours on other floors may.
APART = {
    *(("data", "models"), ("analysis", "models"), ("analysis", "data")),
    *(("tasks", "models"), ("tasks", "data"), ("tasks", "analysis")),
    *(("train", "models"), ("train", "analysis")),
}

# Library -> files, or packages with a slash, that import it.
DOORS = {
    "difflib": {"registry.py"},
    "orbax": {"train/checkpoint.py"},
    "tensorflow_datasets": {
        "data/prepare/",
        "data/reading.py",
        "data/sources/catalogue.py",
    },
    "array_record": {"data/prepare/shards.py"},
    "grain": {"data/stream.py", "data/threads.py"},
    "simplejpeg": {"data/decode.py"},
    "cv2": {"data/decode.py"},
    "filelock": {"data/prepare/recipe.py"},
    "requests": {"data/prepare/download.py"},
    "pickle": {"data/sources/official.py", "transfer/state_dict.py"},
    "ml_collections": {"config/"},
    "msgspec": {"runtime/json_file.py"},
    "matplotlib": {"runtime/figures.py"},
    "scipy": {
        *("ablation/stats.py", "ablation/power.py", "ablation/failures.py"),
        "ablation/simulate.py",
    },
    "rich": {
        *(
            "data/progress.py",
            "train/progress.py",
            "analysis/table.py",
            "inspection/image_search.py",
            "commands/main.py",
        ),
        *("ablation/progress.py", "commands/summary.py", "commands/listing.py"),
    },
    "safetensors": {"transfer/state_dict.py"},
    # Only to compare with and to read its files, inside functions: no run loads it.
    "torch": {"transfer/compare.py", "transfer/reference.py", "transfer/state_dict.py"},
    "tensorboardX": {"train/writers.py"},
    "wandb": {"train/writers.py"},
    "submitit": {"ablation/slurm.py"},  # when it is installed and asked for
    "faiss": {"inspection/image_search.py"},  # when it is installed and asked for
    "argparse": {"commands/", "ablation/command.py"},
    "argcomplete": {"commands/completion.py"},
    "signal": {"train/stopping.py", "train/trainer.py", "ablation/runner.py", "ablation/worker.py"},
    "time": {
        *("train/clock.py", "train/progress.py"),
        *("ablation/progress.py", "ablation/runner.py", "ablation/slurm.py", "ablation/timing.py"),
    },
}
FORBIDDEN = {"tensorflow", "torchvision"}


def modules() -> list[Path]:
    return sorted(ROOT.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Return the full names of all imports, those inside functions included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def part(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def floor(name: str) -> int:
    return next(i for i, names in enumerate(FLOORS) if name in names)


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_downwards(path):
    own = part(path)
    for name in imported(path):
        if not name.startswith("cnn_jax."):
            continue
        other = name.split(".")[1]
        assert other in set().union(*FLOORS), f"{path}: {name} stands on no floor"
        if other == own:
            continue
        assert (own, other) not in APART, f"{path} imports {name}"
        assert (other, own) not in APART, f"{path} imports {name}"
        lower = floor(other) < floor(own)
        neighbours = floor(other) == floor(own)
        assert lower or neighbours, f"{path} imports {name}, which stands above it"


def test_no_circle_among_neighbours():
    reached = {part(path): set() for path in modules()}
    for path in modules():
        others = {name.split(".")[1] for name in imported(path) if name.startswith("cnn_jax.")}
        reached[part(path)] |= others - {part(path)}
    for name, others in reached.items():
        for other in others & reached.keys():
            assert name not in reached[other], f"{name} and {other} import each other"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_each_library_has_one_door(path):
    own = str(path.relative_to(ROOT))
    roots = {name.split(".")[0] for name in imported(path)}
    assert not roots & FORBIDDEN
    for library, doors in DOORS.items():
        here = any(own == door or (door.endswith("/") and own.startswith(door)) for door in doors)
        assert library not in roots or here, f"{own} imports {library}"


def test_ops_know_no_flax():
    for path in (ROOT / "ops").rglob("*.py"):
        assert not {name.split(".")[0] for name in imported(path)} & {"flax", "optax"}


def test_a_run_loads_neither_tensorflow_nor_torch(tmp_path):
    program = (
        "import sys\n"
        "from cnn_jax.commands.main import main\n"
        "status = main(sys.argv[1:])\n"
        "loaded = {name.split('.')[0] for name in sys.modules}\n"
        "print(sorted(loaded & {'tensorflow', 'torch', 'jax'}))\n"
        "sys.exit(status)\n"
    )
    flags = [
        "--config=configs/lenet5_digits.py",
        "--config.train.steps=1",
        "--config.model.name=mlp",
    ]
    done = subprocess.run(
        [sys.executable, "-c", program, "train", *flags, f"--workdir={tmp_path / 'run'}"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "['jax']"


def test_importing_the_package_is_cheap():
    program = "import sys, cnn_jax; print(sorted({'jax', 'flax', 'orbax'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
