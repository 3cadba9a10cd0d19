"""Checks and measures on a CUDA GPU: `python -m tests.gpu`, or `make gpu` (docs/gpu.md)."""
