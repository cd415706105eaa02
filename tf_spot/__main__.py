"""`python -m tf_spot` is `tf-spot`."""

from __future__ import annotations

import sys

from tf_spot.cli import main

if __name__ == "__main__":
    sys.exit(main())
