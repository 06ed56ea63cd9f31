"""The parts of benchmarks/gpu.py: checkpoints with random weights, their repositories, and what is measured of them."""
