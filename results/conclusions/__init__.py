"""Sentences that say what a study found, with their intervals."""
