"""Collective operations, counted in programs whose communication is known."""

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from cnn_jax.planning.collectives import Collective, collectives


def test_a_text_with_every_form():
    text = """
  %a.1 = f32[64,3]{1,0:T(8,128)} all-reduce(f32[64,3]{1,0} %p), channel_id=1, to_apply=%add
  %b = (f32[8]{0:T(128)S(1)}, bf16[4,4]{1,0:T(4,128)(2,1)}) all-reduce(%p, %q), to_apply=%add
  %c = f32[] all-reduce-start(f32[] %p), to_apply=%add
  %d = f32[] all-reduce-done(f32[] %c)
  %e = (f32[8]{0}, f32[32]{0}) all-gather-start(f32[8]{0} %p), dimensions={0}
  %f = f32[32]{0} all-gather-done(%e)
  %g = (u8[16]{0}, u8[16]{0}, u32[], u32[]) collective-permute-start(u8[16]{0} %p)
  ROOT %h = (pred[7]{0}, s4[6]{0}) all-to-all(%p, %q)
  %i = f32[9]{0} fusion(%all-reduce.7), calls=%all-reduce-like
"""
    assert collectives(text) == {
        "all-reduce": Collective(3, 64 * 3 * 4 + 8 * 4 + 16 * 2 + 4),
        "all-gather": Collective(1, 32 * 4),
        "collective-permute": Collective(1, 16),
        "all-to-all": Collective(1, 7 + 3),
    }


def test_the_gradient_of_a_cut_batch_is_summed_once():
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    cut, whole = (NamedSharding(mesh, spec) for spec in (PartitionSpec("data"), PartitionSpec()))

    def loss(w, x):
        return jnp.sum(jnp.square(x @ w))

    step = jax.jit(jax.grad(loss), in_shardings=(whole, cut), out_shardings=whole)
    w, x = jnp.ones((12, 5)), jnp.ones((16, 12))
    text = step.lower(w, x).compile().as_text() or ""
    assert collectives(text) == {"all-reduce": Collective(1, 12 * 5 * 4)}
    alone = jax.jit(jax.grad(loss)).lower(w, x).compile().as_text() or ""
    assert collectives(alone) == {}
