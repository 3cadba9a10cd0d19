"""Adaptation: models, the fine-tuning loop and its objectives."""
