"""Recipes: they gather from public sources what is too large for the repository. Run them from its root."""
