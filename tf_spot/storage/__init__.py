"""Files on disk and where results come from."""
