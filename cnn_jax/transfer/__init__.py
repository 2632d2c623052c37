"""Networks that start from weights trained elsewhere."""

from cnn_jax.transfer.compare import LayerDifference, import_report
from cnn_jax.transfer.weights import import_weights

__all__ = ["LayerDifference", "import_report", "import_weights"]
