"""Preparing: whole or not at all, one process at a time, whatever interrupts it."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cnn_jax.data import sources
from cnn_jax.data.prepare import recipe
from cnn_jax.data.prepare.builders import Builder
from cnn_jax.data.prepare.recipe import Recipe
from cnn_jax.data.sources import folder
from cnn_jax.runtime.errors import BadInputError
from tests.fixtures import environment, write_images


@pytest.fixture
def images(tmp_path):
    write_images(tmp_path / "images/train")
    write_images(tmp_path / "images/test", per_class=3)
    return tmp_path / "images"


def everything(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def of_folder(images: Path, root: Path) -> Recipe:
    files = folder.listing(images)
    return Recipe("folder", root, lambda work, _: Builder(work, "folder", *folder.entries(files)))


class Killed(BaseException):
    pass


def test_what_a_killed_preparation_left_is_removed_by_the_next(images, tmp_path, monkeypatch):
    root = tmp_path / "root"
    with monkeypatch.context() as patch:
        # A process that is killed cleans nothing up.
        patch.setattr(recipe.shutil, "rmtree", lambda *_, **__: None)
        patch.setattr(Builder, "download_and_prepare", lambda self: (_ for _ in ()).throw(Killed))
        with pytest.raises(Killed):
            recipe.prepare(of_folder(images, root))
    assert any("scratch" in name for name in everything(root))
    assert not of_folder(images, root).target.exists()
    target = recipe.prepare(of_folder(images, root))
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_a_failure_leaves_nothing_not_even_folders(images, tmp_path):
    (images / "train/a/0.png").write_text("no image")
    before = everything(tmp_path)
    with pytest.raises(BadInputError, match="is not an image file"):
        recipe.prepare(of_folder(images, tmp_path / "deep/er/root"))
    assert everything(tmp_path) == before


PROGRAM = """
import sys
from cnn_jax.data import sources
print(sources.prepare_source("folder", archives=sys.argv[1], directory=sys.argv[2]))
"""


def start(images: Path, root: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(images), str(root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )


@pytest.mark.slow
def test_two_processes_at_once_prepare_once(images, tmp_path):
    root = tmp_path / "root"
    done = [process.communicate() for process in (start(images, root), start(images, root))]
    assert len({out for out, _ in done}) == 1, done
    assert sum("preparing folder" in err for _, err in done) == 1
    target = Path(done[0][0].strip())
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    assert len(sources.load("folder", str(target)).train) == 16


@pytest.mark.slow
def test_a_preparation_that_is_killed_starts_over(images, tmp_path):
    for part in ("train", "test"):
        for name in "ab":
            # A pipe keeps the reader waiting for as long as it takes to kill it.
            os.mkfifo(images / part / name / "waits.png")
    root = tmp_path / "root"
    process = start(images, root)
    while not list(root.rglob("scratch")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    left = everything(root)
    assert any("scratch" in name for name in left)
    assert not any(name.endswith("1.1.0") and "/." not in name for name in left)
    for pipe in images.rglob("waits.png"):
        pipe.unlink()
    target = sources.prepare_source("folder", archives=str(images), directory=str(root))
    assert len(sources.load("folder", str(target)).train) == 16


FULL = """
import resource, sys
from cnn_jax.data import sources
from cnn_jax.runtime.errors import BadInputError
from tests.data import archives
import pytest
patch = pytest.MonkeyPatch()
files, _ = archives.mnist(600)
archives.publish(patch, "mnist", files)
placed = archives.put(__import__("pathlib").Path(sys.argv[1]), files)
# No file may grow beyond this: what a full disk is to whoever writes one.
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    sources.prepare_source("mnist", archives=str(placed), directory=sys.argv[2])
except BadInputError as error:
    print(error)
"""


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path / "placed"), str(tmp_path / "root")],
        capture_output=True,
        text=True,
        env=environment(),
        cwd=Path(__file__).parents[3],
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("data.dir: cannot prepare mnist in"), done.stderr
    assert done.stdout.count("\n") == 1
    assert not (tmp_path / "root").exists()


def test_a_cache_that_cannot_be_written_leaves_no_half_array(images, tmp_path, monkeypatch):
    monkeypatch.setenv("CNN_JAX_CACHE", str(tmp_path / "cache"))
    target = sources.prepare_source("folder", archives=str(images))
    before = everything(tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The labels' file has some 400 bytes; the images' would have 1,400.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(BadInputError, match=r"cache cannot be written.*File too large"):
            sources.load("folder", str(target))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    left = [name for name in everything(tmp_path) if (tmp_path / name).is_file()]
    whole = [name for name in left if name.endswith("-labels.npy")]
    assert len(whole) == 2
    assert sorted({*left} - {*whole}) == [name for name in before if (tmp_path / name).is_file()]
    assert np.asarray(sources.load("folder", str(target)).train.labels).tolist().count(0) == 8
