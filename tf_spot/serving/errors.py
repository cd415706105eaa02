"""Errors between a client and a server, by the code names that gRPC and TensorFlow share."""

from __future__ import annotations

import logging

from tf_spot.errors import UserError

LONGEST_MESSAGE = 1_000  # characters: a hostile request may put a million names into its error

# The HTTP status with which TensorFlow Serving answers each code.
HTTP_STATUS = {
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}
# Some codes share a status; a client takes the one that fits most of these.
_CODE_OF_HTTP = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    413: "RESOURCE_EXHAUSTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
RETRIED = ("UNAVAILABLE", "RESOURCE_EXHAUSTED")  # a server that is away, and a full queue


class ServingError(RuntimeError):
    """A call that failed.

    Args:
        code: a name of `grpc.StatusCode`, such as "NOT_FOUND", whatever the protocol.
        message: of the server, or of the connection.
    """

    def __init__(self, code: str, message: str) -> None:
        message = message if len(message) <= LONGEST_MESSAGE else f"{message[:LONGEST_MESSAGE]} ..."
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message

    @property
    def http_status(self) -> int:
        """The status of this error over REST."""
        return HTTP_STATUS[self.code]

    @property
    def is_temporary(self) -> bool:
        """True if the same call may succeed a little later."""
        return self.code in RETRIED


class MessageTooLarge(ServingError):
    """A request or an answer is over the size limit: the same call can never succeed."""

    def __init__(self, message: str) -> None:
        super().__init__("RESOURCE_EXHAUSTED", message)

    http_status = 413
    is_temporary = False


def log_internal(log: logging.Logger, what: str, error: Exception) -> None:
    """Log an error that no request should cause: one line, and the trace where debug messages are shown."""
    reason = " ".join(str(error).split())[:LONGEST_MESSAGE]
    log.error("%s failed: %s: %s", what, type(error).__name__, reason, exc_info=log.isEnabledFor(logging.DEBUG))


def code_of_http(status: int) -> str:
    """Return the code for an HTTP status that is not 200."""
    return _CODE_OF_HTTP.get(status, "INTERNAL" if status >= 500 else "UNKNOWN")


def missing_extra(error: ModuleNotFoundError) -> UserError:
    """Return the error for a package of the `serving` extra that is not installed."""
    return UserError(f"{error.name} is not installed; serving needs it: pip install tf-spot[serving]")
