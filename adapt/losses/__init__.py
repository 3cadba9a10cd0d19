"""Losses of embeddings, logits and groups, over one process or several; they import torch alone."""
