"""Writing files atomically; saved networks."""
