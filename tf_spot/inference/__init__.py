"""What a trained run is used for: embeddings, neighbours, heat maps."""
