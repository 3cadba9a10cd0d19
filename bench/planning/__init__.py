"""Specs before they run: presets, studies, and a forecast of their cost."""
