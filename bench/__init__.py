"""Specs, registries, the run's straight line and the command line; imports nothing heavy."""
