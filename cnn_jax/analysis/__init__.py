"""Looking at networks: what they are made of, what they see, what they have learned."""

from cnn_jax.analysis.summary import Row, Summary, summarize

__all__ = ["Row", "Summary", "summarize"]
