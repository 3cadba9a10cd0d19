"""Leaves: what every other room may use, and which uses nothing of ours above it."""
