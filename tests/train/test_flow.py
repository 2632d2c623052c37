"""The gradient flow of a step: norms against the arithmetic by hand, however the batch is cut."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cnn_jax import models
from cnn_jax.nn import branches, layers
from cnn_jax.nn.blocks.fire import Fire
from cnn_jax.nn.blocks.residual import BasicBlock
from cnn_jax.tasks import Classification
from cnn_jax.tasks.losses import cross_entropy
from cnn_jax.train.flow import line, make_flow_step
from cnn_jax.train.state import init_state

RATE = 0.1


class Block(nn.Module):
    """A user's own residual block, which says what it adds."""

    @nn.compact
    def __call__(self, x):
        y = nn.Dense(5, name="one", dtype=jnp.float64, param_dtype=jnp.float64)(x)
        branches.note(self, y, x)
        return nn.relu(y + x)


class Net(nn.Module):
    """Two such blocks, one within a module of the user's, and a head."""

    @nn.compact
    def __call__(self, x, *, train):
        del train
        x = Block(name="b")(Block(name="a")(x.reshape(x.shape[0], -1)))
        return layers.Dense(3, dtype=jnp.float64, name="head")(x)


def by_hand(params, x, labels):
    """Return the line of flow.jsonl for one step of SGD."""

    def forward(params):
        norms, x_now = {}, x.reshape(len(x), -1)
        for name in ("a", "b"):
            layer = params[name]["one"]
            y = x_now @ layer["kernel"] + layer["bias"]
            norms[name] = jnp.linalg.norm(y) / jnp.linalg.norm(x_now)
            x_now = jnp.maximum(y + x_now, 0)
        logits = x_now @ params["head"]["kernel"] + params["head"]["bias"]
        return jnp.mean(cross_entropy(logits, labels)), norms

    grads, branches = jax.grad(forward, has_aux=True)(params)
    kernels = {
        "a": lambda tree: tree["a"]["one"]["kernel"],
        "b": lambda tree: tree["b"]["one"]["kernel"],
        "head": lambda tree: tree["head"]["kernel"],
    }
    norm = np.linalg.norm
    return {
        "gradient": {name: norm(of(grads)) for name, of in kernels.items()},
        "update_to_weight": {
            name: RATE * norm(of(grads)) / norm(of(params)) for name, of in kernels.items()
        },
        "branch_to_skip": {name: float(ratio) for name, ratio in branches.items()},
    }


def test_norms_are_those_of_the_update_however_the_batch_is_cut():
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        batch = {
            "image": jnp.asarray(rng.normal(size=(8, 5, 1, 1))),
            "label": jnp.asarray(rng.integers(0, 3, 8)),
        }
        optimizer = optax.with_extra_args_support(optax.sgd(RATE))
        state = init_state(Net(), optimizer, (5, 1, 1), 0, jnp.float64)
        assert set(state.variables) == {"params"}
        expected = by_hand(state.variables["params"], batch["image"], batch["label"])
        whole = jax.jit(make_flow_step(Net(), Classification(3), optimizer, seed=0))(state, batch)
        parts = jax.jit(make_flow_step(Net(), Classification(3), optimizer, seed=0, accumulate=2))(
            state, batch
        )
        shares = jax.tree.map(lambda x: x.reshape(2, 4, *x.shape[1:]), batch)
        step = make_flow_step(Net(), Classification(3), optimizer, seed=0, axis="data")
        mapped = jax.pmap(step, axis_name="data", in_axes=(None, 0))(state, shares)
        cut = [jax.tree.map(lambda x, i=i: x[i], mapped) for i in range(2)]
        for flow in (whole, parts, *cut):
            found = line(flow)
            assert found.keys() == expected.keys()
            for name, norms in expected.items():
                assert found[name] == pytest.approx(norms, rel=1e-9), name


@pytest.mark.parametrize(
    ("block", "shortcut"),
    [
        (BasicBlock(4, shortcut="A"), lambda x, params: x),
        (BasicBlock(4, stride=2, shortcut="A"), lambda x, params: x[:, ::2, ::2]),
        (Fire(1, 2, "complex"), lambda x, params: x @ params["bypass_conv"]["kernel"][0, 0]),
    ],
    ids=["identity", "padded", "complex bypass"],
)
def test_a_block_notes_what_its_branch_adds_to_its_shortcut(block, shortcut):
    channels = 3 if isinstance(block, Fire) else 4
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 4, channels)), jnp.float32)
    how: dict[str, Any] = {} if isinstance(block, Fire) else {"train": False}
    variables = block.init(jax.random.key(0), x, **how)
    assert branches.SHORTCUTS not in variables
    y, noted = block.apply(variables, x, **how, mutable=[branches.SHORTCUTS])
    branch, skip = noted[branches.SHORTCUTS]["squares"]
    expected = shortcut(x, variables["params"])
    assert skip == pytest.approx(float(jnp.sum(expected**2)), rel=1e-5)
    if isinstance(block, Fire):  # no ReLU behind the sum: the branch is what is left
        assert branch == pytest.approx(float(jnp.sum((y - expected) ** 2)), rel=1e-5)
    np.testing.assert_array_equal(y, block.apply(variables, x, **how))


def test_a_block_that_nobody_asks_computes_no_norms():
    module = models.create("resnet20", num_classes=3, stages=(1,), width=4)
    x = jnp.zeros((1, 8, 8, 3))
    variables = jax.eval_shape(lambda: module.init(jax.random.key(0), x, train=False))
    trace = jax.make_jaxpr(lambda v: module.apply(v, x, train=True, mutable=["batch_stats"]))
    plain = str(trace(variables))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(branches, "note", lambda *arguments: None)
        assert str(trace(variables)) == plain
