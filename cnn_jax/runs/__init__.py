"""Runs: a config and a folder around the training of a network."""
