"""One subcommand of `tf-spot` per file: `add` declares its options, `run` executes it.

`run` returns the metrics that `--json` prints, and the exit code. It imports what it needs itself, so that `--help` and
errors in the options never wait for TensorFlow.
"""
