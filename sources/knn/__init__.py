"""The images whose CLIP embeddings are nearest to a class's prompts."""
