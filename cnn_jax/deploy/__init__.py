"""Trained networks put to use: predictions, and programs that need nothing of this package."""
