"""What is taken, what starts anew, what is left out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import traverse_util

from cnn_jax import models
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.transfer.graft import graft
from cnn_jax.transfer.regimes import shapes_of, stages

SHAPE = (8, 8, 1)


def made(hidden=(6,), classes=3, name="mlp", shape=SHAPE, **fields):
    if name == "mlp":
        fields["hidden"] = hidden
    module = models.create(name, num_classes=classes, **fields)
    shapes = shapes_of(module, shape)
    rng = np.random.default_rng(classes)
    values = jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), shapes)
    return values, shapes, stages(module, shape)


def below(paths) -> set[str]:
    return {"/".join(path[1:]) for path in paths}


def test_another_number_of_classes_replaces_the_head():
    source, _, _ = made(classes=3)
    _, target, network = made(classes=5)
    found, taken = graft(source, target, network, (), "it")
    assert below(found.taken) == {"fc1/kernel", "fc1/bias"}
    assert below(found.anew) == {"head/kernel", "head/bias"} == below(found.left_out)
    assert found.anew["params", "head", "kernel"] == "[6, 3] there, [6, 5] here"
    assert found.drawn == {("head", "kernel"), ("head", "bias")}
    np.testing.assert_array_equal(
        taken["params"]["fc1"]["kernel"], source["params"]["fc1"]["kernel"]
    )
    assert "head" not in taken["params"]


def test_the_same_classes_keep_the_head_unless_it_is_named():
    source, target, network = made()
    found, _ = graft(source, target, network, (), "it")
    assert (found.anew, found.left_out) == ({}, ())
    found, taken = graft(source, target, network, ("head",), "it")
    assert set(found.anew.values()) == {"init.restart"}
    assert list(taken["params"]) == ["fc1"]


def test_a_restarted_module_starts_with_fresh_statistics():
    source, target, network = made(name="resnet20", shape=(8, 8, 3), stages=(1,), widths=(4,))
    found, taken = graft(source, target, network, ("bn1",), "it")
    assert {path for path in found.anew if path[0] == "batch_stats"} == {
        ("batch_stats", "bn1", "mean"),
        ("batch_stats", "bn1", "var"),
    }
    assert "bn1" not in taken["batch_stats"]
    assert "stage1_block1" in taken["batch_stats"]


def test_auxiliary_heads_may_be_missing_on_either_side():
    plain, target, network = made()
    both = {"params": plain["params"] | {"aux1": plain["params"]["head"]}}
    found, _ = graft(both, target, network, (), "it")
    assert below(found.left_out) == {"aux1/kernel", "aux1/bias"}
    paths = {("aux1", path[1]) for path in network["head"]}
    with_aux = network | {"head": network["head"] | paths}
    shapes = {"params": target["params"] | {"aux1": target["params"]["head"]}}
    found, _ = graft(plain, shapes, with_aux, (), "it")
    assert below(found.anew) == {"aux1/kernel", "aux1/bias"}
    assert set(found.anew.values()) == {"the source lacks it"}


@pytest.mark.parametrize(
    ("source", "target", "restart", "line"),
    [
        ({"hidden": (7,)}, {}, (), r"it does not fit: fc1/bias: \[7\] there, \[6\] here"),
        ({"hidden": (6, 6)}, {}, (), "it has fc2/.*, which this network lacks"),
        ({}, {"hidden": (6, 6)}, (), "it does not fit: fc2/.*: the source lacks it"),
        ({}, {}, ("fc9",), "init.restart: 'fc9' matches no parameter; .* fc1, head"),
        ({}, {}, ("*",), "init.restart leaves nothing to take from it"),
    ],
)
def test_another_architecture_is_told_in_one_line(source, target, restart, line):
    held, _, _ = made(**source)
    _, wanted, network = made(**target)
    with pytest.raises(BadInputError, match=line):
        graft(held, wanted, network, restart, "it")


def test_what_does_not_fit_can_start_anew():
    held, _, _ = made(hidden=(7,))
    _, wanted, network = made(hidden=(6,), classes=3)
    with pytest.raises(BadInputError, match="leaves nothing to take"):
        graft(held, wanted, network, ("fc1",), "it")  # the head does not fit either


def test_values_come_in_the_networks_own_type():
    source, target, network = made()
    source = jax.tree.map(lambda x: x.astype(np.float64), source)
    _, taken = graft(source, target, network, (), "it")
    leaves = traverse_util.flatten_dict(taken).values()
    assert {np.asarray(leaf).dtype for leaf in leaves} == {np.dtype(jnp.float32)}
