"""Model state, training step, optimizer, checkpoints, logs and memory."""
