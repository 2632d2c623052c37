"""Training: pure steps, and the loop that runs, logs and saves them."""
