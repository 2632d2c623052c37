"""What has files that can be damaged: how one is made, and what it is used for."""

import contextlib
import dataclasses
import io
import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors.numpy
from PIL import Image

import cnn_jax
from cnn_jax.ablation import Arm, Study
from cnn_jax.ablation import main as study_main
from cnn_jax.commands import main
from cnn_jax.config import base_config
from cnn_jax.data import sources
from cnn_jax.data.reading import Wanted
from cnn_jax.deploy.export import export_run, load_exported
from cnn_jax.deploy.predict import predict
from cnn_jax.runs import workdir
from cnn_jax.runs.evaluate import evaluate_run
from cnn_jax.runs.experiment import complete
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.train.folder import CURVES
from cnn_jax.train.logging import read_metrics
from cnn_jax.transfer import import_weights
from tests.fixtures import write_images, write_run


@dataclasses.dataclass(frozen=True)
class Kind:
    """A sort of thing that is kept in files.

    Attributes:
        name: of it.
        share: how often it is damaged, relative to the others.
        make: (folder, seed) makes one.
        use: folder -> what it is good for, to be compared.
        files: folder -> the files that may be damaged.
        ready: what is done with a copy before the damage.
        foreign: made by others, without checksums of ours: another number cannot be told.
    """

    name: str
    share: int
    make: Callable[[Path, int], None]
    use: Callable[[Path], Any]
    files: Callable[[Path], Iterable[Path]]
    ready: Callable[[Path], Any] = lambda folder: None
    foreign: bool = False


def all_files(folder: Path) -> Iterable[Path]:
    """Yield the files that a program reads: no pictures of results, no locks."""
    for file in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
        if file.is_file() and not hidden and file.suffix not in (".png", ".svg", ".txt", ".csv"):
            yield file


def config(seed: int) -> Any:
    """Return a run of half a second: a perceptron on 8x8 digits."""
    made = base_config()
    made.model.name, made.data.name, made.seed = "mlp", "digits", seed
    made = complete(made)
    made.model.hidden = (8,)
    made.data.image_size, made.data.batch_size = 8, 64
    made.optim.learning_rate, made.optim.ema = 0.05, 0.9
    made.train.steps, made.train.log_every = 40, 5
    made.eval.every = made.checkpoint.every = 10
    return made


def bits(folder: Path) -> list[bytes]:
    """Return the weights of a run's newest checkpoint."""
    _, variables, _ = cnn_jax.load_run(folder)
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(variables)]


# --- runs --------------------------------------------------------------------------------------


def make_finished(folder: Path, seed: int) -> None:
    """Train a run to its end; keep a picture beside it."""
    cnn_jax.train_and_evaluate(config(seed), folder / "run")
    picture(folder / "image.jpg", seed)


def use_finished(folder: Path) -> Any:
    """Return everything that can be asked of a finished run."""
    run = folder / "run"
    result = cnn_jax.train_and_evaluate(config(0), run)
    return {
        "result": result["metrics"],
        "evaluated": evaluate_run(run),
        "bits": bits(run),
        "predicted": [
            [(Name(one.get("class")), one["index"], one["probability"]) for one in line["classes"]]
            for line in predict(run, [folder / "image.jpg"])
        ],
    }


@dataclasses.dataclass(eq=False)
class Name:
    """What a class is called. Without its name it is shown by its number, which is no other."""

    name: str | None

    def __eq__(self, other: object) -> bool:
        """Names may be missing; none may differ."""
        return isinstance(other, Name) and (
            None in (self.name, other.name) or self.name == other.name
        )


def make_killed(folder: Path, seed: int) -> None:
    """Train a run, and leave of it what a kill between two checkpoints leaves."""
    cnn_jax.train_and_evaluate(config(seed), folder)
    for name in (workdir.RESULT, workdir.PREDICTIONS, CURVES):
        (folder / name).unlink()
    shutil.rmtree(folder / workdir.CHECKPOINTS / "40")


def use_killed(folder: Path) -> Any:
    """Continue the run; return its result, and its log where nothing was said of it."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        result = cnn_jax.train_and_evaluate(config(0), folder)
    lines = read_metrics(folder / workdir.METRICS)
    places = [(line["step"], line["split"]) for line in lines]
    assert len(set(places)) == len(places), "lines are doubled"
    told = workdir.METRICS in said.getvalue() or "damaged" in said.getvalue()
    losses = {place: line["loss"] for place, line in zip(places, lines, strict=True)}
    return {"result": result["metrics"], "bits": bits(folder), "log": Log(losses, told)}


@dataclasses.dataclass(eq=False)
class Log:
    """The losses in a run's log, and whether the run said that it was damaged."""

    losses: dict[Any, float]
    told: bool

    def __eq__(self, other: object) -> bool:
        """Lines may be missing where that was said; none may differ."""
        if not isinstance(other, Log):
            return False
        if self.told or other.told:
            both = self.losses.keys() & other.losses.keys()
            return all(self.losses[place] == other.losses[place] for place in both)
        return self.losses == other.losses


# --- data --------------------------------------------------------------------------------------


def make_prepared(folder: Path, seed: int) -> None:
    """Prepare a folder of images."""
    write_images(folder / "images" / "train", per_class=9 + seed)
    write_images(folder / "images" / "test", per_class=3)
    made = sources.prepare_source("folder", archives=str(folder / "images"), directory=str(folder))
    shutil.move(made, folder / "set")
    for left in folder.glob("folder-*"):
        shutil.rmtree(left)
    shutil.rmtree(folder / "images")


def use_prepared(folder: Path) -> Any:
    """Return what is read of the set, where nothing was decoded before."""
    shutil.rmtree(folder / "cache", ignore_errors=True)
    (folder / "cache").mkdir()
    return read_set(folder / "set")


def read_set(folder: Path, name: str = "folder") -> Any:
    """Return images, labels and classes of a set."""
    source = sources.load(name, str(folder), Wanted(image_size=8))
    parts: Any = {"train": source.train, "test": source.test}
    found = {key: (part.images.tobytes(), part.labels.tolist()) for key, part in parts.items()}
    return found | {"classes": source.classes, "constants": (source.mean, source.std)}


def make_decoded(folder: Path, seed: int) -> None:
    """Prepare a set with its decoded images beside it."""
    make_prepared(folder, seed)
    (folder / "cache").mkdir()


def use_decoded(folder: Path) -> Any:
    """Return what is read of the set, from the cache where it is whole."""
    return read_set(folder / "set")


# --- studies -----------------------------------------------------------------------------------


def study(preset: str) -> Study:
    """Declare two arms of a perceptron."""
    del preset
    base = config(0)
    base.optim.ema = None
    base.train.steps = base.eval.every = base.checkpoint.every = base.train.log_every = 4
    rate = "optim.learning_rate"
    slow = Arm("slow", {rate: 0.01}, against="fast", factor=[rate])
    return Study(
        name="rate",
        question="Does a fifth of the rate cost accuracy?",
        hypothesis="It does.",
        base=base,
        arms=[Arm("fast"), slow],
        seeds=2,
        smallest=0.01,
    )


def study_command(folder: Path, *flags: str) -> tuple[int, str]:
    """Return (status, what is said on stderr) of the study's program."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        status = study_main(study, [f"--workdir={folder}", *flags])
    return status, said.getvalue()


def make_study(folder: Path, seed: int) -> None:
    """Run the study, in this process."""
    del seed
    status, said = study_command(folder, "--jobs=1")
    assert status == 0, said


def use_study(folder: Path) -> Any:
    """Return the report, rendered again."""
    status, said = study_command(folder, "--report_only")
    if status == 2:
        raise BadInputError(said.strip())
    report, rows = ((folder / name).read_text() for name in ("report.md", "results.csv"))
    # The command that was given says where the study lay; another copy of it lay elsewhere.
    report = "\n".join(line for line in report.splitlines() if "--workdir=" not in line)
    return Rendered(status, report, frozenset(rows.splitlines()), "is left out" in report)


@dataclasses.dataclass(eq=False)
class Rendered:
    """A study's report and the rows that it is made of, and whether it leaves a cell out."""

    status: int
    report: str
    rows: frozenset[str]
    told: bool

    def __eq__(self, other: object) -> bool:
        """Rows may be missing where the report and the status say so; none may differ."""
        if not isinstance(other, Rendered):
            return False
        if self.told or other.told:
            fewer, more = sorted((self, other), key=lambda one: len(one.rows))
            return fewer.rows < more.rows and fewer.told and fewer.status == 1
        return (self.status, self.report, self.rows) == (other.status, other.report, other.rows)


def study_files(folder: Path) -> Iterable[Path]:
    """Yield the files that the report is made of."""
    for file in all_files(folder):
        if workdir.CHECKPOINTS not in file.parts and file.name not in ("report.md", "config.json"):
            yield file


# --- exported networks, indices, weights, pictures ---------------------------------------------


def picture(file: Path, seed: int) -> None:
    """Write a JPEG."""
    rng = np.random.default_rng(seed)
    Image.fromarray(rng.integers(0, 256, (9, 12), np.uint8)).save(file, quality=90)


def make_bundle(folder: Path, seed: int) -> None:
    """Export a network that was not trained."""
    run = folder / "run"
    write_run(run, "mlp", image_shape=(8, 8, 1), classes="abc", hidden=(6 + seed,))
    export_run(run, folder / "network.zip")
    shutil.rmtree(run)


def use_bundle(folder: Path) -> Any:
    """Return what the exported network makes of an image."""
    network = load_exported(folder / "network.zip")
    outputs = network(np.arange(64, dtype=np.uint8).reshape(1, 8, 8, 1))
    about = {name: value for name, value in network.about.items() if name != "versions"}
    return {name: np.asarray(value).tobytes() for name, value in outputs.items()} | {"is": about}


def make_index(folder: Path, seed: int) -> None:
    """Index a folder of images."""
    write_images(folder / "images", per_class=5)
    write_run(folder / "run", "mlp", image_shape=(8, 8, 1), classes="ab", hidden=(6 + seed,))
    search(folder, f"--images={folder / 'images'}")


def use_index(folder: Path) -> Any:
    """Return the neighbours of an image."""
    return search(folder, str(folder / "images" / "a" / "0.png"))


def search(folder: Path, *flags: str) -> Any:
    """Return what the command prints."""
    printed, said = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(said):
        status = main.main(
            ["search-images", f"--workdir={folder / 'run'}", f"--index={folder / 'index'}", *flags]
        )
    if status == 2:
        raise BadInputError(said.getvalue().strip().splitlines()[-1])
    assert status == 0, said.getvalue()
    lines = [json.loads(line) for line in printed.getvalue().splitlines()]
    return [line["neighbours"] for line in lines if "neighbours" in line]


# A CIFAR ResNet with one block in its only stage, as PyTorch names and shapes it.
TENSORS = {
    "conv1.weight": (16, 3, 3, 3),
    "layer1.0.conv1.weight": (16, 16, 3, 3),
    "layer1.0.conv2.weight": (16, 16, 3, 3),
    "linear.weight": (7, 16),
    "linear.bias": (7,),
}
TENSORS |= {
    f"{norm}.{leaf}": (16,)
    for norm in ("bn1", "layer1.0.bn1", "layer1.0.bn2")
    for leaf in ("weight", "bias", "running_mean", "running_var")
}


def make_weights(folder: Path, seed: int) -> None:
    """Save weights under PyTorch's names."""
    rng = np.random.default_rng(seed)
    tensors = {name: rng.normal(size=shape).astype("f4") for name, shape in TENSORS.items()}
    safetensors.numpy.save_file(tensors, folder / "weights.safetensors")


def use_weights(folder: Path) -> Any:
    """Import them; they are somebody else's, without a checksum."""
    import_weights("resnet20", folder / "weights.safetensors", stages=(1,))


def make_pictures(folder: Path, seed: int) -> None:
    """Write pictures in several formats, and a network to show them to."""
    rng = np.random.default_rng(seed)
    write_run(folder / "run", "mlp", image_shape=(8, 8, 1), classes="ab", hidden=(6,))
    image = Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8))
    for suffix in ("jpg", "png", "gif", "bmp", "tiff", "webp"):
        image.save(folder / f"image.{suffix}")


def use_pictures(folder: Path) -> Any:
    """Show all of them to the network."""
    images = sorted(folder.glob("image.*"))
    if len(images) < 6:
        raise BadInputError("one is gone")
    list(predict(folder / "run", images))


KINDS = (
    # Not the picture: a JPEG has no checksum.
    Kind("finished", 6, make_finished, use_finished, lambda folder: all_files(folder / "run")),
    Kind("killed", 4, make_killed, use_killed, all_files),
    Kind(
        *("prepared", 5, make_prepared, use_prepared),
        lambda folder: [f for f in (folder / "set").iterdir() if f.is_file()],
    ),
    Kind(
        *("decoded", 5, make_decoded, use_decoded),
        lambda folder: [f for f in (folder / "cache").rglob("*") if f.is_file()],
        # What is decoded is known by the set's path, so every copy has its own.
        ready=use_decoded,
    ),
    Kind("study", 5, make_study, use_study, study_files),
    Kind("bundle", 5, make_bundle, use_bundle, lambda folder: [folder / "network.zip"]),
    Kind("index", 4, make_index, use_index, lambda folder: [folder / "index"]),
    Kind(
        *("weights", 2, make_weights, use_weights),
        lambda folder: folder.glob("*.safetensors"),
        foreign=True,
    ),
    Kind(
        *("pictures", 4, make_pictures, use_pictures),
        lambda folder: folder.glob("image.*"),
        foreign=True,
    ),
)
