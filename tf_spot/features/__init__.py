"""From feature maps to vectors."""
