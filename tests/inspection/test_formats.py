"""Pictures from the command line in every format, and what help says of them."""

import re
import subprocess
import sys

import pytest
from PIL import Image

from cnn_jax import inspection
from cnn_jax.commands import main
from cnn_jax.inspection import KINDS, report
from cnn_jax.inspection.destination import Destination
from cnn_jax.inspection.drawing import DRAWERS
from cnn_jax.inspection.subject import Subject
from tests.fixtures import write_images, write_run

CLASSES = ("cat", "dog", "eel")
MAGIC = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with a run and its images."""
    folder = tmp_path_factory.mktemp("formats")
    write_images(folder / "mnist/train", per_class=12, side=16, classes=CLASSES)
    write_images(folder / "mnist/test", per_class=4, side=16, classes=CLASSES)
    stages = {"stages": (1, 1), "width": 4}
    write_run(folder / "run", "resnet20", image_shape=(16, 16, 1), classes=CLASSES, **stages)
    return folder


def drawn(place, capsys, out, *arguments: str):
    """Run ``inspect``; return the files that it printed."""
    assert main.main(["inspect", f"--workdir={place / 'run'}", f"--out={out}", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def test_every_kind_has_what_draws_it():
    assert tuple(DRAWERS) == KINDS
    assert all(draw.__doc__ for draw in DRAWERS.values())  # the page quotes it


def test_help_names_the_kinds_and_formats_without_loading_jax():
    program = (
        "import sys\n"
        "from cnn_jax.commands.main import main\n"
        "try:\n"
        "    main(['inspect', '--help'])\n"
        "finally:\n"
        "    print(sorted({'jax', 'flax', 'matplotlib'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0
    *lines, loaded = done.stdout.splitlines()
    assert loaded == "[]"
    help_text = re.sub(r"-\n\s*", "-", "\n".join(lines))  # argparse breaks lines behind hyphens
    for word in (*KINDS, "all", "png, pdf or svg"):
        assert word in re.sub(r"\s+", " ", help_text)


@pytest.mark.parametrize("kind", MAGIC)
def test_pictures_come_in_the_format_that_is_asked_for(place, kind, tmp_path, capsys):
    arguments = [f"--format={kind}", str(place / "mnist/test/cat/0.png")]
    (file,) = drawn(place, capsys, tmp_path, "--what=grad-cam", *arguments)
    assert file == str(tmp_path / f"grad-cam.{kind}")
    content = (tmp_path / f"grad-cam.{kind}").read_bytes()
    assert content.startswith(MAGIC[kind])
    drawn(place, capsys, tmp_path, "--what=grad-cam", *arguments)
    assert (tmp_path / f"grad-cam.{kind}").read_bytes() == content


def test_more_images_are_more_rows_of_the_same_two_columns(place, tmp_path, capsys):
    files = [str(place / f"mnist/test/{name}/0.png") for name in CLASSES]
    sizes = []
    for count in (1, 3):
        (file,) = drawn(place, capsys, tmp_path, "--what=saliency", *files[:count])
        with Image.open(file) as picture:
            sizes.append(picture.size)
    (width, height), (wide, high) = sizes
    assert wide == pytest.approx(width, rel=0.05)
    assert high > 2 * height


@pytest.mark.parametrize(
    ("formats", "embedded"),
    [(("png",), "image/png"), (("svg",), "image/svg+xml"), (("pdf", "png"), "image/png")],
)
def test_the_page_shows_pictures_whatever_their_format(place, formats, embedded, tmp_path):
    subject = inspection.open_run(place / "run", [place / "mnist/test/cat/0.png"])
    kinds = {name: DRAWERS[name] for name in ("filters", "saliency")}
    files = report.draw_all(kinds, subject, Destination(tmp_path, formats))
    assert len(files) == 1 + 2 * len(formats)
    page = (tmp_path / "report.html").read_text()
    assert re.findall(r'src="data:([^;]+);', page) == [embedded] * 2


def test_pdf_for_all_leaves_png_for_the_page(place, tmp_path, monkeypatch):
    from cnn_jax.inspection import drawing

    few = {name: DRAWERS[name] for name in ("filters",)}
    monkeypatch.setattr(drawing, "DRAWERS", few)
    subject = inspection.open_run(place / "run", [place / "mnist/test/cat/0.png"])
    found = inspection.inspect(subject, "all", tmp_path, picture_format="pdf")
    assert [file.name for file in found] == ["report.html", "filters.pdf", "filters.png"]


def test_titles_name_the_data(place):
    def subject(*flags: str) -> Subject:
        return inspection.open_run(place / "run", overrides=flags)

    assert subject().title == "resnet20, step 0"  # of no data that are known
    folder = ["--config.data.name=folder", f"--config.data.dir={place / 'mnist'}"]
    assert subject(*folder).title == "resnet20 on MNIST, step 0"


def test_another_format_is_one_line(place, tmp_path, capsys):
    out, run = f"--out={tmp_path / 'out'}", f"--workdir={place / 'run'}"
    line = "argument --format: is 'gif'; it has to be png, pdf or svg"
    for command in (["inspect", "--what=filters"], ["evaluate"]):
        assert main.main([*command, run, out, "--format=gif"]) == 2
        printed = capsys.readouterr()
        assert line in printed.err
        assert printed.err.count("\n") == 1
    assert not (tmp_path / "out").exists()
