"""Readers: where a copy of a published task may be from, and how each kind is read."""
