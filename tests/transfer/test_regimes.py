"""Stages, patterns, and what a regime trains."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from cnn_jax import models, ops
from cnn_jax.runtime.errors import BadInputError
from cnn_jax.tasks import Classification
from cnn_jax.train.optim import make_optimizer
from cnn_jax.train.state import init_state
from cnn_jax.train.step import make_train_step
from cnn_jax.transfer.regimes import Rule, named, resolve, stages

KNOWN = {
    "lenet5": "conv1 conv3 fc5 fc6 head",
    "resnet20": "conv1 stage1 stage2 stage3 head",
    "vgg11_bn": "conv1 conv2 conv3 conv4 conv5 fc6 fc7 head",
}


def network(name: str, **fields):
    return stages(models.create(name, num_classes=4, **fields), models.image_shape(name))


@pytest.mark.parametrize("name", KNOWN)
def test_stages_come_in_the_order_in_which_a_network_runs(name):
    found = network(name)
    assert list(found) == KNOWN[name].split()
    module = models.create(name, num_classes=4)
    image = jnp.zeros((1, *models.image_shape(name)))
    shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), image, train=False))
    assert sum(len(paths) for paths in found.values()) == len(jax.tree.leaves(shapes["params"]))


class Unnamed(nn.Module):
    """Layers with the names that Linen gives them, and a call without ``train``."""

    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(nn.relu(nn.Dense(5)(x.reshape(len(x), -1))))


def test_a_users_module_has_stages_too():
    # The last layer is the first to be made, and the second to run.
    assert list(stages(Unnamed(), (2, 2, 1))) == ["Dense_1", "Dense_0"]


class WithHead(nn.Module):
    """A network with a head that only training runs, as GoogLeNet has."""

    @nn.compact
    def __call__(self, x, *, train):
        x = nn.BatchNorm(use_running_average=not train, name="bn1")(nn.Dense(2, name="conv1")(x))
        if train or self.is_initializing():
            nn.Dense(3, name="aux1")(x)
        return nn.Dense(3, name="head")(nn.Dense(2, name="inception4b")(x))


def test_normalisation_and_auxiliary_heads_have_a_stage():
    found = {
        stage: {path[0] for path in paths} for stage, paths in stages(WithHead(), (2,)).items()
    }
    assert found == {
        "conv1": {"conv1", "bn1"},
        "inception4": {"inception4b"},
        "head": {"head", "aux1"},
    }


def trained(rule: Rule, **more) -> list[set[str]]:
    """Return the outermost modules that train in each phase, in lenet5."""
    phases = resolve(rule, network("lenet5"), **more).phases
    return [{path[0] for path in paths} for _, paths in phases]


def test_the_three_regimes():
    everything = {"conv1", "conv3", "fc5", "fc6", "head"}
    assert trained(Rule("last")) == [{"head"}]
    assert trained(Rule("late")) == [{"fc5", "fc6", "head"}]
    assert trained(Rule("all")) == trained(Rule()) == [everything]


def test_a_rule_of_patterns():
    found = resolve(Rule(train=("fc*/kernel", "conv1")), network("lenet5")).phases[0][1]
    assert found == {
        ("conv1", "kernel"),
        ("conv1", "bias"),
        ("fc5", "kernel"),
        ("fc6", "kernel"),
    }
    assert trained(Rule("late", freeze=("fc*",))) == [{"head"}]
    # What starts anew trains, unless it is frozen by name.
    anew = frozenset({("conv1", "kernel")})
    assert trained(Rule("last"), anew=anew) == [{"head", "conv1"}]
    assert trained(Rule("last", freeze=("conv1",)), anew=anew) == [{"head"}]


def test_stages_join_from_the_head_down():
    steps = trained(Rule("last", unfreeze=(3, 7)))
    assert steps == [{"head"}, {"head", "fc6"}, {"head", "fc6", "fc5"}]
    steps = trained(Rule("last", freeze=("fc6",), unfreeze=(3,)))
    assert steps == [{"head"}, {"head", "fc5"}]  # a stage frozen by name does not join


def test_rates_fall_with_depth():
    factors = resolve(Rule(decay=0.5), network("lenet5")).factors
    assert factors is not None
    assert factors["head", "bias"] == 1
    assert factors["fc6", "kernel"] == 0.5
    assert factors["conv1", "kernel"] == 0.5**4
    assert resolve(Rule(), network("lenet5")).factors is None


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        (Rule(train=("stage4*",)), r"init.train: 'stage4\*' matches no parameter; .* conv1, conv3"),
        (Rule("last", freeze=("*",)), "init.freeze leaves nothing to train of conv1"),
        (Rule("last", freeze=("haed",)), "init.freeze: 'haed' matches no parameter"),
        (Rule("late", unfreeze=(1, 2, 3)), "init.unfreeze: at step 3 every stage trains already"),
    ],
)
def test_a_rule_that_cannot_be_is_told_in_one_line(rule, line):
    with pytest.raises(BadInputError, match=line):
        resolve(rule, network("lenet5"))


def test_patterns_match_whole_names():
    paths = [("conv1", "kernel"), ("conv10", "kernel"), ("block", "conv1", "kernel")]
    assert named(("conv1",), paths, "x", ()) == {paths[0]}
    assert named(("*/conv1",), paths, "x", ()) == {paths[2]}


@pytest.mark.slow
def test_the_step_of_the_last_layer_of_resnet50_is_cheap():
    module, shape = models.create("resnet50", num_classes=10), (64, 64, 3)
    optimizer = make_optimizer("sgd", lambda step: 0.1, momentum=0.9, weight_decay=1e-4)
    batch = {
        "image": jax.ShapeDtypeStruct((4, *shape), jnp.float32),
        "label": jax.ShapeDtypeStruct((4,), jnp.int32),
    }
    flops, held = {}, {}
    for regime in ("last", "all"):
        paths = resolve(Rule(regime), stages(module, shape)).phases[0][1]
        state = jax.eval_shape(
            lambda paths=paths: init_state(module, optimizer, shape, 0, jnp.float32, trained=paths)
        )
        task = Classification(10)
        step = jax.jit(make_train_step(module, task, optimizer, seed=0, trained=paths))
        with ops.stock():  # operators that the compiler can count
            lowered = step.lower(state, batch)
        hurried: Any = {"xla_backend_optimization_level": 0}
        compiled = lowered.compile(compiler_options=hurried)
        cost = compiled.cost_analysis()
        assert cost is not None
        flops[regime] = cost["flops"]
        held[regime] = sum(leaf.size for leaf in jax.tree.leaves(state.opt_state))
    assert flops["last"] < 0.45 * flops["all"]
    assert held["last"] == 2048 * 10 + 10 + 1  # the head's momentum, and the schedule's count
    params = sum(leaf.size for leaf in jax.tree.leaves(state.variables["params"]))
    assert held["all"] == params + 1
