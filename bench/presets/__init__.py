"""Presets: named settings for everything a run needs, one YAML file each."""
