"""Pools of image-text pairs, and the scan for captions that name a class."""
