"""cnn-jax: research on convolutional networks in JAX and Flax."""
