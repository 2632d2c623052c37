"""Linen modules: layers over the operators, and the blocks that networks are built of."""
