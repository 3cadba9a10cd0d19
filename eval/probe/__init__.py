"""Logistic regression on frozen features, for a whole path of penalties."""
