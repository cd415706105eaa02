"""One subcommand of `tf-spot` per file: `add` declares its options, `run` executes it."""
