"""Estimates, intervals and p-values from arrays; no database, no files."""
