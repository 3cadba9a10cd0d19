"""Basics that every other package may use: errors, files, config, specs, records, tasks."""
