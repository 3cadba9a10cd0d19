"""Features of a model on a task's splits."""
