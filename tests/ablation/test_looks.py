"""The error rate that looks may spend."""

import numpy as np
import pytest
from scipy import stats

from cnn_jax.ablation.looks import Look, planned


def test_quantiles_of_three_looks():
    plan = planned((5, 10, 20), 1)
    quantiles = [stats.t.isf(look.alpha / 2, look.seeds - 1) for look in plan]
    assert np.round(quantiles, 1).tolist() == [4.3, 3.1, 2.4]


@pytest.mark.parametrize("looks", [(5,), (5, 10, 20), (2, 4, 8), (3, 6, 12), (2, 3)])
@pytest.mark.parametrize("statements", [1, 5, 16])
def test_all_looks_at_all_statements_spend_five_per_cent(looks, statements):
    plan = planned(looks, statements)
    assert [look.seeds for look in plan] == list(looks)
    assert statements * sum(look.alpha for look in plan) == pytest.approx(0.05)
    assert all(look.alpha > 0 for look in plan)


def test_each_look_spends_by_the_seeds_that_it_adds():
    assert planned((5, 10, 20), 2, alpha=0.08) == (Look(5, 0.01), Look(10, 0.01), Look(20, 0.02))
