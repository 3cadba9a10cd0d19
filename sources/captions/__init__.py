"""Captions to generate images from: planned, written, checked, kept."""
