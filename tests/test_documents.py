"""What the documents say: their Python runs as it is printed, the files that they name exist."""

import operator
import re
import subprocess
import sys
from pathlib import Path

import pytest

import cnn_jax
from tests.fixtures import environment

ROOT = Path(__file__).parents[1]
WITH_PYTHON = ["README.md", "CONTRIBUTING.md"]
DOCUMENTS = [*WITH_PYTHON, "BENCHMARKS.md"]
# Folders of the repository, in a name's first place: what else has a slash is of some other place.
TOP = {path.name for path in ROOT.iterdir() if path.is_dir()} - {".git", ".venv", "runs"}


def blocks(document: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", (ROOT / document).read_text(), re.M | re.S)


def named(document: str) -> list[str]:
    """Return the paths of this repository that a document names in backticks or links to."""
    text = (ROOT / document).read_text()
    spans = re.findall(r"`([^`]+)`", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S))
    words = [word for span in spans for word in span.split()]
    words += re.findall(r"\]\(([^)\s]+)\)", text)
    return sorted({word for word in words if word.split("/")[0] in TOP and "/" in word})


@pytest.mark.slow
@pytest.mark.parametrize("document", WITH_PYTHON)
def test_the_python_of_a_document_runs(document, tmp_path):
    assert blocks(document)
    program = tmp_path / "document.py"
    program.write_text("\n".join(blocks(document)))
    (tmp_path / "configs").symlink_to(ROOT / "configs")  # documents speak from the repository's top
    done = subprocess.run(
        [sys.executable, program.name],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(ROOT)),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_that_a_document_names_exist(document):
    paths = named(document)
    assert len(paths) > 5
    assert not [path for path in paths if not (ROOT / path).exists()]


def test_the_rooms_are_told():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    rooms = [path.parent.name for path in (ROOT / "cnn_jax").glob("*/__init__.py")]
    assert not [room for room in rooms if f"`{room}`" not in text]


def test_names_that_a_document_has_are_reached_from_the_package():
    texts = [(ROOT / document).read_text() for document in DOCUMENTS]
    names = {
        name for text in texts for name in re.findall(r"(?<!-m )\bcnn_jax\.([a-zA-Z_.]+\w)", text)
    }
    assert {"Trainer", "load_run", "probe", "analysis.Probe"} <= names
    for name in names:
        operator.attrgetter(name)(cnn_jax)
