"""What evaluators see of a model: its features on a task's splits."""
