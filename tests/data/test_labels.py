"""Labels that are no class reach nothing, whichever way they come in."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnn_jax.data.dataset import Dataset
from cnn_jax.data.decode import View
from cnn_jax.data.labels import check_labels
from cnn_jax.data.parts import Part, Stream
from cnn_jax.runtime.errors import BadInputError


def images(count: int) -> np.ndarray:
    return np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 1), np.uint8)


def part(labels, stream: bool = False) -> Part | Stream:
    labels = np.asarray(labels)
    if stream:
        records = [{"image": row} for row in range(len(labels))]
        return Stream(records, np.arange(len(labels)), labels, View((2, 2), grey=True))
    return Part(images(len(labels)), labels)


def three(parts: dict[str, Part | Stream]) -> Dataset:
    return Dataset(parts["train"], parts["test"], ("a", "b", "c"), (2, 2))


BAD = [
    (np.array([0, 1.0]), "type float64 and the shape"),
    (np.array([True, False]), "type bool"),
    (np.array([["0"], ["1"]]), r"targets of the type <U1 and the shape \[2, 1\]"),
    (np.array([[0.5], [np.nan]]), "targets are finite numbers, an entry for each example"),
    (np.array([-1, -1]), r"has no labels \(2 of 2 are -1\)"),
    (np.array([0, -1, 1]), r"lacks some of its labels \(1 of 3 are -1\)"),
    (np.array([0, -2, 1]), r"outside 0\.\.\d+: 1 of 3, such as -2"),
    (np.array([0, 2**31, 1]), "such as 2147483648"),
    (np.array([0, 2**63], np.uint64), "such as 9223372036854775808"),
]


@pytest.mark.parametrize(("labels", "line"), BAD)
@pytest.mark.parametrize("stream", [False, True])
def test_a_part_has_labels_that_are_labels(labels, line, stream):
    with pytest.raises(BadInputError, match=line) as caught:
        part(labels, stream)
    assert "\n" not in str(caught.value)


def test_a_part_is_pixels_or_finite_numbers_with_a_label_each():
    labels = np.array([0, 1], np.int32)
    for wrong in (images(3), images(2)[..., 0], images(2).astype(np.int16)):
        with pytest.raises(BadInputError, match=r"uint8 or float32 \[N, H, W, C\] with N labels"):
            Part(wrong, labels)
    numbers = images(2).astype(np.float32)
    assert len(Part(numbers, labels)) == 2
    numbers[1, 0, 0, 0] = np.nan
    with pytest.raises(BadInputError, match="image 1 has numbers that are not finite"):
        Part(numbers, labels)
    with pytest.raises(BadInputError, match="3 records with 2 labels"):
        Stream([], np.arange(3), labels, View((2, 2), grey=True))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("where", ["train", "test"])
def test_a_source_has_labels_that_are_its_classes(stream, where):
    parts = {"train": part([0, 1, 2], stream), "test": part([2, 0], stream)}
    assert len(three(parts).train) == 3
    parts[where] = part([0, 3, 3, 1], stream)
    line = rf"the {where} part .* has labels outside 0\.\.2: 2 of 4, such as 3"
    with pytest.raises(BadInputError, match=line):
        three(parts)
    parts[where] = part(np.empty(0, np.int32), stream)
    with pytest.raises(BadInputError, match=rf"the {where} part of the data has no examples"):
        three(parts)


@pytest.mark.parametrize(("classes", "line"), [((), "no classes"), (("a",), "one class, 'a'")])
def test_one_class_is_nothing_to_tell_apart(classes, line):
    with pytest.raises(BadInputError, match=f"the data have {line}; telling classes apart"):
        Dataset(part([0, 0]), part([0]), classes, (2, 2))


@given(st.data())
def test_classes_that_are_left_out_join_no_other(data):
    names = tuple("abcdef"[: data.draw(st.integers(2, 6))])
    number = st.integers(0, len(names) - 1)
    train = data.draw(st.lists(number, min_size=1, max_size=20))
    test = data.draw(st.lists(number, min_size=1, max_size=20))
    chosen = data.draw(st.lists(st.sampled_from(names), min_size=2, unique=True))
    stream = data.draw(st.booleans())
    source = Dataset(part(train, stream), part(test, stream), names, (2, 2))
    wanted = {
        where: [
            (row, chosen.index(names[label]))
            for row, label in enumerate(labels)
            if names[label] in chosen
        ]
        for where, labels in (("train", train), ("test", test))
    }
    if not all(wanted.values()):
        with pytest.raises(BadInputError, match=r"data\.only: no example of the t"):
            source.only(chosen)
        return
    kept = source.only(chosen)
    assert kept.classes == tuple(chosen)
    for where, pairs in wanted.items():
        found = getattr(kept, where)
        rows = found.rows if stream else found.images[:, 0, 0, 0]
        assert list(zip(rows.tolist(), found.labels.tolist(), strict=True)) == pairs


def test_a_class_cannot_be_kept_twice():
    source = Dataset(part([0, 1]), part([0]), ("a", "b"), (2, 2))
    with pytest.raises(BadInputError, match=r"data\.only: a, b, a names a class twice"):
        source.only(("a", "b", "a"))


@given(st.lists(st.integers(-3, 12), min_size=1, max_size=30), st.integers(1, 10))
def test_labels_pass_if_and_only_if_all_are_classes(labels, classes):
    if all(0 <= label < classes for label in labels):
        check_labels(np.array(labels), classes, "x")
    else:
        with pytest.raises(BadInputError, match=r"^x (has|lacks) "):
            check_labels(np.array(labels), classes, "x")
