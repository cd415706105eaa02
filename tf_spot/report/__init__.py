"""One page about a run that needs nothing but itself."""

from tf_spot.report.page import report

__all__ = ["report"]
