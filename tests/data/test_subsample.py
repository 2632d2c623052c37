"""Fewer pixels, in both readings."""

import numpy as np
import pytest

from cnn_jax.data.subsample import Subsample

IMAGE = np.random.default_rng(0).integers(1, 256, (20, 30, 3), np.uint8)


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5, 0.75, 1.0])
def test_a_smaller_image_has_the_share_of_pixels_all_of_them_old(share):
    rows = (np.arange(20)[:, None] * 30 + np.arange(30))[..., None]
    kept = Subsample(share)(rows)[..., 0]
    assert kept.shape == Subsample(share).size((20, 30))
    assert abs(kept.size - share * 600) <= 0.05 * 600
    # A grid: rows and columns at even distances, give or take one, the rest left out.
    picked_rows, picked_columns = kept[:, 0] // 30, kept[0] % 30
    np.testing.assert_array_equal(kept, picked_rows[:, None] * 30 + picked_columns)
    for picked in (picked_rows, picked_columns):
        assert np.ptp(np.diff(picked)) <= 1 if len(picked) > 1 else True


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5, 0.75, 1.0])
def test_missing_pixels_are_black_in_all_channels_the_others_untouched(share):
    left = Subsample(share, "missing")(IMAGE)
    kept = left.any(-1)
    assert kept.sum() == round(share * 600)
    np.testing.assert_array_equal(left[kept], IMAGE[kept])


def test_an_image_lacks_the_same_pixels_always_and_others_lack_others():
    missing = Subsample(0.5, "missing")
    np.testing.assert_array_equal(missing(IMAGE), missing(IMAGE.copy()))
    other = missing(IMAGE[:, ::-1])
    assert 0.3 < np.mean(other.any(-1) == missing(IMAGE).any(-1)) < 0.7
