"""How images differ from those that they stand for: in every pixel, and where cells were dropped."""
