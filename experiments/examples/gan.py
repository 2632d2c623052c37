"""A GAN on digits of 8x8 pixels: two networks and two optimizers in one step of one's own.

Paper: Goodfellow et al. 2014, "Generative Adversarial Nets", algorithm 1 with k = 1; the generator
maximises log D(G(z)) (section 3).

    python experiments/examples/gan.py runs/gan [STEPS]

Time: a minute on 2 CPU cores that had other work. Result: d_loss 0.82, g_loss 1.47 over the last
hundred steps; in runs/gan/digits.png zeros, twos, threes and fives are easily told. Kill it at any
moment and give the command again: it ends with the same bits.
"""

import sys
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from PIL import Image
from sklearn.datasets import load_digits

import cnn_jax

NOISE = 32  # dimensions of what a picture is generated from
ADAM = optax.adam(5e-4, b1=0.5)  # each network has its own moments

# Noise [N, NOISE] to pictures [N, 8, 8, 1] in -1..1.
generator: Any = nn.Sequential(
    [
        *[nn.Dense(8 * 8 * 16), nn.relu, lambda x: x.reshape(-1, 8, 8, 16)],
        *[nn.Conv(16, (3, 3)), nn.relu, nn.Conv(1, (3, 3)), nn.tanh],
    ]
)
# Pictures to logits [N, 1] of being real.
discriminator: Any = nn.Sequential(
    [
        *[nn.Conv(32, (3, 3), 2), nn.leaky_relu, nn.Conv(64, (3, 3)), nn.leaky_relu],
        *[lambda x: x.reshape(len(x), -1), nn.Dense(1)],
    ]
)


def step(state, batch):
    """Update the discriminator, then the generator against the new one."""
    z = jax.random.normal(batch["key"], (len(batch["image"]), NOISE))

    def discriminate(params):
        fake = generator.apply(state["generator"], z)
        real = discriminator.apply(params, batch["image"])
        return (nn.softplus(-real) + nn.softplus(discriminator.apply(params, fake))).mean()

    def generate(params, against):
        return nn.softplus(-discriminator.apply(against, generator.apply(params, z))).mean()

    d_loss, grads = jax.value_and_grad(discriminate)(state["discriminator"])
    updates, d_moments = ADAM.update(grads, state["d_moments"])
    d = optax.apply_updates(state["discriminator"], updates)
    g_loss, grads = jax.value_and_grad(generate)(state["generator"], d)
    updates, g_moments = ADAM.update(grads, state["g_moments"])
    g = optax.apply_updates(state["generator"], updates)
    new = {"generator": g, "discriminator": d, "g_moments": g_moments, "d_moments": d_moments}
    return new, {"d_loss": d_loss, "g_loss": g_loss}


g = generator.init(jax.random.key(0), jnp.zeros((1, NOISE)))
d = discriminator.init(jax.random.key(1), jnp.zeros((1, 8, 8, 1)))
state = {"generator": g, "discriminator": d, "g_moments": ADAM.init(g), "d_moments": ADAM.init(d)}
trainer = cnn_jax.Trainer(step=step, state=state)
pixels, labels = load_digits(return_X_y=True)
images = (pixels / 8 - 1).reshape(-1, 8, 8)  # 0..16 to -1..1
steps = int(sys.argv[2]) if len(sys.argv) > 2 else 3000
run = trainer.fit((images, labels), steps=steps, batch_size=64, workdir=sys.argv[1])
z = jax.random.normal(jax.random.key(2), (64, NOISE))
made = generator.apply(run.state.own["generator"], z)
sheet = np.uint8(127.5 * (made + 1)).reshape(8, 8, 8, 8).transpose(0, 2, 1, 3).reshape(64, 64)
Image.fromarray(sheet).resize((512, 512), 0).save(f"{sys.argv[1]}/digits.png")  # 0: nearest
