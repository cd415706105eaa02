"""The local server's metrics, in the format of Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from tf_spot.serving.errors import ServingError


class Metrics:
    """The metrics of one server, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()  # not the global one: several servers may run in one process
        self.requests = Counter(
            "tf_spot_serving_requests",
            "Predict requests by protocol and status code.",
            ["protocol", "code"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "tf_spot_serving_request_seconds",
            "Seconds from a predict request to its answer.",
            ["protocol"],
            registry=self.registry,
        )
        self.waiting = Gauge(
            "tf_spot_serving_waiting_requests", "Requests waiting in the queue.", registry=self.registry
        )
        self.batch_rows = Histogram(
            "tf_spot_serving_batch_rows",
            "Rows run at once.",
            buckets=[2**power for power in range(11)],  # 1 to 1024
            registry=self.registry,
        )

    @contextmanager
    def predict(self, protocol: str) -> Iterator[None]:
        """Count and time one predict request, with the code of the exception that it ends with."""
        code = "OK"
        with self.seconds.labels(protocol).time():
            try:
                yield
            except ServingError as error:
                code = error.code
                raise
            except Exception:
                code = "INTERNAL"
                raise
            except BaseException:  # cancelled: the client closed the connection
                code = "CANCELLED"
                raise
            finally:
                self.requests.labels(protocol, code).inc()

    def text(self) -> bytes:
        """Return all metrics as Prometheus reads them."""
        return generate_latest(self.registry)
