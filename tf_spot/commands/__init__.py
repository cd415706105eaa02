"""One verb of the command line a file: `add` gives it its words, `run` does it."""
