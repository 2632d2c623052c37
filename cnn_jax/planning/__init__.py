"""Training on devices that nobody here has to own: memory, arithmetic, what chips send."""
