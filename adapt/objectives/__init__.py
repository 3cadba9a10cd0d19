"""Objectives: what adaptation minimises; a file here is a value of ``--objective``."""
