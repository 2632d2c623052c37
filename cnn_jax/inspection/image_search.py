"""`search-images`: an index of images as a layer sees them, and the nearest to a query."""

import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from cnn_jax.analysis import pictures
from cnn_jax.analysis.embedding import embed, nearest, normalised, precision, without_self
from cnn_jax.analysis.pictures import Panel
from cnn_jax.data.dataset import TEST
from cnn_jax.deploy.predict import read_images
from cnn_jax.inspection import file_names
from cnn_jax.inspection.image_index import FORMAT, About, Index, fingerprint, read_index
from cnn_jax.inspection.subject import BATCH, Subject, colours, pixels_of
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.runtime.figures import FORMATS, format_of

EXACT, FAISS = "exact", "faiss"


def search_images(
    subject: Subject,
    file: str | Path,
    queries: Sequence[str | Path] = (),
    *,
    images: str | Path | None = None,
    layer: str | None = None,
    top: int = 10,
    method: str = "exact",
    measured: bool = False,
    sheet: str | Path | None = None,
) -> Iterator[dict[str, Any]]:
    """Make the index ``file`` unless there is one, then answer queries; yield what was found.

    Args:
        subject: the network, with the queries as its images.
        file: of the index.
        queries: the files of the subject's images; none only makes the index, or measures it.
        images: a folder to index; the run's test set if None.
        layer: whose outputs count.
        top: neighbours of a query.
        method: 'exact' or 'faiss'.
        measured: whether to measure the precision over all indexed images.
        sheet: a file for queries and neighbours, PNG, PDF or SVG by its ending.

    Raises:
        BadInputError: whatever is wrong, before anything is written.
    """
    file = Path(file)
    if top < 1:
        raise BadInputError(f"--top={top}: it has to be at least 1")
    _check_method(method)
    if sheet is not None:
        _check_sheet(Path(sheet), queries)
    if file.exists():
        if images is not None:
            raise BadInputError(f"--index: {str(file)!r} exists; leave --images out to search it")
        index = read_index(file, subject, layer)
        source = index.about["source"]
        if sheet is not None and source is not None and not Path(source).is_dir():
            raise BadInputError(
                f"--sheet: the folder {source!r} that was indexed is not there any more, so its "
                "images cannot be drawn; leave --sheet out, or index them anew"
            )
    else:
        if not file.parent.is_dir():
            raise BadInputError(f"--index: {str(file.parent)!r} is not a folder")
        index = build(subject, layer, images)
        index.save(file)
        count, size = index.vectors.shape
        yield {"index": str(file), "images": count, "size": size, "layer": index.about["layer"]}
    if measured:
        yield measure(index, subject, top, method)
    if queries:
        found, rows = answers(index, subject, queries, top, method)
        yield from found
        if sheet is not None:
            contact_sheet(index, subject, found, rows, Path(sheet))


def _check_method(method: str) -> None:
    if method not in (EXACT, FAISS):
        raise BadInputError(f"--method={method}: there is {EXACT}, {FAISS}")
    if method == FAISS and importlib.util.find_spec("faiss") is None:
        raise BadInputError("--method=faiss needs FAISS: pip install faiss-cpu")


def _check_sheet(sheet: Path, queries: Sequence[str | Path]) -> None:
    wrong = None
    if not queries:
        wrong = "takes the images to look for"
    elif format_of(sheet) not in FORMATS:
        wrong = f"has to end in .{', .'.join(FORMATS[:-1])} or .{FORMATS[-1]}"
    elif sheet.is_dir() or not sheet.parent.is_dir():
        wrong = "is a folder" if sheet.is_dir() else "lies in no folder"
    if wrong is not None:
        raise BadInputError(f"--sheet={sheet}: {wrong}")


def build(subject: Subject, layer: str | None, folder: str | Path | None) -> Index:
    """Index the images of a folder, or the run's test set, a batch at a time.

    Args:
        subject: the network.
        layer: whose outputs are the vectors; the last but one, which the classifier sees, if None.
        folder: PNG and JPEG files in it and below; the test set if None.
    """
    layer = subject.probe.layer(layer) if layer else subject.probe.before_last()
    if folder is None:
        part = subject.data().parts[TEST]
        names = file_names.of_test(part, subject)
        labels, read = part.labels, lambda rows: pixels_of(part, range(len(part))[rows])
    else:
        root = Path(folder)
        names = sorted(
            str(path.relative_to(root))
            for path in root.rglob("*")
            if path.suffix.lower() in (".png", ".jpg", ".jpeg")
        )
        if not names:
            raise BadInputError(f"--images: {str(folder)!r} holds no PNG or JPEG files")
        known = {name: label for label, name in enumerate(subject.names)}
        labels = np.array([known.get(Path(name).parent.name, -1) for name in names], np.int32)

        def read(rows: slice) -> np.ndarray:
            return read_images([root / name for name in names[rows]], subject.config)

    about: About = {
        "format": FORMAT,
        "network": fingerprint(subject, layer),
        "layer": layer,
        "source": None if folder is None else str(Path(folder).resolve()),
        "classes": list(subject.names),
    }
    batches = (subject.normalise(pixels) for pixels in _progress(len(names), read))
    vectors = embed(subject.probe, layer, batches)
    return Index(about, vectors, np.array(names), np.asarray(labels, np.int32))


def _progress(count: int, read: Callable[[slice], np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the images a batch at a time, with a bar on a terminal, a line elsewhere."""
    starts: Iterable[int] = range(0, count, BATCH)
    if sys.stderr.isatty():
        starts = track(list(starts), f"indexing {count:,} images", console=Console(stderr=True))
    else:
        print(f"indexing {count:,} images", file=sys.stderr)
    for start in starts:
        yield read(slice(start, start + BATCH))


def search(index: Index, queries: np.ndarray, k: int, method: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (similarities, indices), both ``[M, k]``, of the nearest to vectors ``[M, D]``.

    ``method`` is 'exact', or 'faiss' for its graph search (Malkov & Yashunin 2016), which is
    faster on millions of images and may miss some.
    """
    k = min(k, len(index.vectors))
    if method == EXACT:
        return nearest(index.vectors, queries, k)
    import faiss  # pyright: ignore[reportMissingImports]

    graph = faiss.IndexHNSWFlat(index.vectors.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    graph.hnsw.efConstruction, graph.hnsw.efSearch = 80, 64
    graph.add(index.vectors)
    return graph.search(np.ascontiguousarray(queries), k)


def answers(
    index: Index, subject: Subject, files: Sequence[str | Path], k: int, method: str
) -> tuple[list[dict[str, Any]], np.ndarray]:
    """Return for each image file its neighbours, the most similar first, as plain values.

    Beside them their places in the index, ``[N, k]``.
    """
    queries = embed(subject.probe, index.about["layer"], [subject.x])
    similarities, places = search(index, queries, k, method)
    found = []
    for file, near, rows in zip(files, similarities, places, strict=True):
        neighbours = [_neighbour(index, int(r), float(s)) for s, r in zip(near, rows, strict=True)]
        found.append({"image": str(file), "neighbours": neighbours})
    return found, places


def _neighbour(index: Index, row: int, similarity: float) -> dict[str, Any]:
    label, name = int(index.labels[row]), str(index.names[row])
    named = {} if label < 0 else {"class": index.about["classes"][label]}
    if index.about["source"] is None and name == str(row):  # as indexes of before have it
        name = file_names.place(row)
    return {"image": name, **named, "similarity": round(similarity, 6)}


def measure(index: Index, subject: Subject, k: int, method: str) -> dict[str, Any]:
    """Return how good the search is: precision@k of every labelled image, itself left out.

    Beside it the precision of raw pixels, where the index is of the test set, and the share of the
    exact neighbours that another method finds.
    """
    labels = index.labels
    own = np.flatnonzero(labels >= 0)
    if not len(own):
        raise BadInputError("--measure: the indexed images have no labels (folders of classes)")
    if len(labels) < 2:
        raise BadInputError("--measure: one image has no neighbours; index more of them")
    _, exact = nearest(index.vectors, index.vectors[own], min(k + 1, len(labels)))
    kept = without_self(own.tolist(), exact, k)
    found: dict[str, Any] = {f"precision@{k}": precision(labels, labels[own], kept)}
    found |= {"images": len(own), "layer": index.about["layer"]}
    if index.about["source"] is None:
        part = subject.data().parts[TEST]
        pixels = pixels_of(part, range(len(part))).reshape(len(labels), -1).astype(np.float32)
        raw = normalised(pixels - pixels.mean(axis=1, keepdims=True))
        _, near = nearest(raw, raw[own], min(k + 1, len(labels)))
        plain = without_self(own.tolist(), near, k)
        found[f"precision@{k} of raw pixels"] = precision(labels, labels[own], plain)
    if method != EXACT:
        _, other = search(index, index.vectors[own], k + 1, method)
        same = [len({*a} & {*b}) for a, b in zip(exact.tolist(), other.tolist(), strict=True)]
        found[f"recall of {method}"] = float(np.mean(same)) / exact.shape[1]
    return found


def contact_sheet(
    index: Index, subject: Subject, found: Sequence[dict[str, Any]], places: np.ndarray, file: Path
) -> None:
    """Draw each query with its neighbours to the right of it."""
    rows = []
    seen = colours(subject.pixels / 255)
    for pixels, answer, at in zip(seen, found, places, strict=True):
        if index.about["source"] is None:
            near = pixels_of(subject.data().parts[TEST], at)
        else:
            root = Path(index.about["source"])
            near = read_images([root / str(name) for name in index.names[at]], subject.config)
        row = [Panel(pixels, Path(answer["image"]).name)]
        for image, neighbour in zip(colours(near / 255), answer["neighbours"], strict=True):
            text = neighbour.get("class") or Path(neighbour["image"]).name
            row.append(Panel(image, f"{text}\n{neighbour['similarity']:.3f}"))
        rows.append(row)
    most = max(map(len, rows))
    columns = ["query", *map(str, range(1, most))]
    title = f"the nearest at {index.about['layer']}, with cosines: {subject.title}"
    pictures.draw(rows, [file], title, side=1.1, columns=columns)
