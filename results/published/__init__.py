"""Numbers that others published, each with where it is from; never beside a miniature result."""

from results.published.beside import Published, Value, published

__all__ = ["Published", "Value", "published"]
