"""Specs before they run: presets, studies, and what they will cost."""
