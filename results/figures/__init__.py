"""Figures; a name of ``bench figure`` is a file here."""
