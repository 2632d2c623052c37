"""Data: where images come from, in which order they are seen, how they are changed."""
