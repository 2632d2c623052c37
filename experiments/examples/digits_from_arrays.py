"""Scikit-learn's digits as arrays, into a network of Flax's own layers, in twelve lines.

    python experiments/examples/digits_from_arrays.py runs/digits_from_arrays

Time: 17 s on 2 CPU cores that had other work. Result: 93.04 % of the last 359 images, which other
people wrote than the first ones. Kill it at any moment and give the command again: it ends with
the same weights.
"""

import sys

import flax.linen as nn
import optax
from sklearn.datasets import load_digits

import cnn_jax

pixels, labels = load_digits(return_X_y=True)
images = (pixels / 8 - 1).reshape(-1, 8, 8)  # 0..16 to -1..1
train, test = (images[:1438], labels[:1438]), (images[1438:], labels[1438:])
layers = [nn.Conv(64, (3, 3)), nn.relu, lambda x: x.reshape(len(x), -1), nn.Dense(10)]
trainer = cnn_jax.Trainer(nn.Sequential(layers), optimizer=optax.adamw(1e-3))
run = trainer.fit(train, validation=0.1, test=test, steps=500, batch_size=64, workdir=sys.argv[1])
print(f"test accuracy {run.metrics['test']['accuracy']:.2%}")
