"""Prepared sets: images converted once, and read back."""
