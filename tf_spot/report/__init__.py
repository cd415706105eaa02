"""HTML pages about a run and about a comparison, each one self-contained file."""

from tf_spot.report.page import report

__all__ = ["report"]
