"""Evaluators: how an adapted model is judged; a file here is an evaluator."""
