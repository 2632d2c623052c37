"""Streaming: the same examples for any number of readers and hosts, from any step on."""

import io

import jax
import numpy as np
import pytest
from PIL import Image

from cnn_jax.data import decode, order, stream
from cnn_jax.data.decode import View
from cnn_jax.data.parts import Part, Stream
from cnn_jax.data.resident import Shuffled
from cnn_jax.data.stream import Batches, read_ahead
from cnn_jax.runtime.errors import BadInputError

N, BATCH = 50, 16
STEPS = -(-3 * N // BATCH)
# Images whose one pixel is their row.
PART = Part(np.arange(N, dtype=np.uint8).reshape(N, 1, 1, 1), np.arange(N, dtype=np.int32) % 7)


def ids(batches: Batches, start: int = 0, **options) -> np.ndarray:
    with read_ahead(batches, start, **options) as iterator:
        found = [batch["image"].ravel() for batch in iterator]
    return np.concatenate(found) if found else np.empty(0, np.uint8)


def whole(places: range | None = None) -> Batches:
    return Batches(PART, BATCH, places=places, steps=STEPS, seed=5)


def test_three_epochs_are_the_runs_order_and_permutations():
    expected = np.concatenate([order.permutation(5, epoch, N) for epoch in range(4)])
    found = ids(whole())
    np.testing.assert_array_equal(found, expected[: STEPS * BATCH])
    for epoch in range(3):
        np.testing.assert_array_equal(np.sort(found[epoch * N :][:N]), np.arange(N))


def test_they_are_those_that_live_on_the_device():
    shuffled = Shuffled(5, N, BATCH)
    for step in range(STEPS):
        orders, offset = shuffled.locate(step)
        np.testing.assert_array_equal(whole().rows(step), orders[offset : offset + BATCH])


@pytest.mark.parametrize("readers", [1, 2, 5])
def test_any_step_begins_with_its_own_examples(readers):
    expected = np.concatenate([whole()[step]["image"].ravel() for step in range(STEPS)])
    for start in range(STEPS + 1):
        found = ids(whole(), start, readers=readers)
        np.testing.assert_array_equal(found, expected[start * BATCH :])


@pytest.mark.parametrize("hosts", [2, 4, 8])
def test_hosts_read_their_share_and_together_everything(hosts):
    share = BATCH // hosts
    parts = [whole(range(host * share, (host + 1) * share)) for host in range(hosts)]
    for step in range(STEPS):
        images = [part[step]["image"] for part in parts]
        assert all(len(image) == share for image in images)
        np.testing.assert_array_equal(np.concatenate(images), whole()[step]["image"])


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_worker_processes_read_the_same(workers):
    np.testing.assert_array_equal(ids(whole(), 2, workers=workers), ids(whole(), 2))


@pytest.mark.slow
def test_worker_processes_decode_and_cut_the_same():
    photos = Batches(PHOTOS, 2, steps=9, seed=4, window=WINDOW)
    np.testing.assert_array_equal(ids(photos, workers=2), ids(photos, readers=3))


@pytest.mark.parametrize("batch_size", [1, 7, 25, 50, 64])
def test_one_pass_counts_each_example_once(batch_size):
    seen = []
    with read_ahead(Batches(PART, batch_size)) as iterator:
        for batch in iterator:
            assert len(batch["image"]) == batch_size
            seen.append(batch["image"][batch["mask"]].ravel())
    np.testing.assert_array_equal(np.concatenate(seen), np.arange(N))


def test_labels_belong_to_images():
    for batch in (whole()[3], Batches(PART, 16)[3]):
        np.testing.assert_array_equal(batch["label"], batch["image"].ravel() % 7)


def encoded(height: int, width: int, seed: int) -> bytes:
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


SIZES = [(20, 30), (30, 20), (25, 25), (9, 40)]
PHOTOS = Stream(
    [{"image": encoded(*size, seed)} for seed, size in enumerate(SIZES)],
    np.array([3, 0, 2]),
    np.array([1, 2, 3], np.int32),
    View((12, 10), grey=False),
)
WINDOW = {"area": (0.3, 0.8)}


def test_photos_are_decoded_resized_and_chosen_by_row():
    batch = Batches(PHOTOS, 2)[1]
    image = Image.open(io.BytesIO(PHOTOS.records[2]["image"]))
    np.testing.assert_array_equal(batch["image"][0], decode.resize(np.asarray(image), (12, 10)))
    assert batch["mask"].tolist() == [True, False]
    fewer = PHOTOS[np.array([1, 2])]
    assert (len(fewer), fewer.labels.tolist(), fewer.image_shape) == (2, [2, 3], (12, 10, 3))
    np.testing.assert_array_equal(fewer.read(1), batch["image"][0])


def test_windows_are_cut_from_the_original_by_the_number_in_the_run():
    batches = Batches(PHOTOS, 2, steps=9, seed=4, window=WINDOW)
    for step in (0, 5):
        batch = batches[step]
        for place, row in enumerate(batches.rows(step)):
            image = Image.open(io.BytesIO(PHOTOS.encoded(row)))
            number = 2 * step + place
            top, left, rows, columns = stream.random_window(
                4, number, image.height, image.width, WINDOW
            )
            assert 0.2 < rows * columns / (image.height * image.width) < 0.9
            box = (left, top, left + columns, top + rows)
            expected = decode.resize(np.asarray(image), (12, 10), box)
            np.testing.assert_array_equal(batch["image"][place], expected)
    other = Batches(PHOTOS, 2, places=range(1, 2), steps=9, seed=4, window=WINDOW)
    np.testing.assert_array_equal(other[5]["image"][0], batches[5]["image"][1])


def test_windows_differ_between_examples_epochs_and_seeds():
    drawn = {
        stream.random_window(seed, number, 400, 500, WINDOW)
        for seed in (0, 1, -1)
        for number in range(20)
    }
    assert len(drawn) == 60


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_damaged_record_ends_the_run_with_its_name(workers):
    records, rows = [*PHOTOS.records[:2], {"image": b"x"}], np.array([2])
    broken = Stream(records, rows, np.array([0], np.int32), PHOTOS.view, "the split train in '/x'")
    with (
        read_ahead(Batches(broken, 1), workers=workers) as iterator,
        pytest.raises(BadInputError, match=r"^record 2 of .* train in '/x' is not an image file"),
    ):
        next(iterator)


def test_the_order_does_not_depend_on_the_precision():
    plain = order.permutation(1, 0, 30)
    with jax.enable_x64(True):
        np.testing.assert_array_equal(order.permutation(1, 0, 30), plain)
