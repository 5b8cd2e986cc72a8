"""MNIST on disk and in memory; knows nothing of training."""
