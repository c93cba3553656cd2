"""Search by sound in datasets of embeddings."""
