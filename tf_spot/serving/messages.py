"""What a client and a server exchange, whatever the protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypedDict, TypeVar

import numpy as np

from tf_spot.serving.errors import MessageTooLarge

Arrays = dict[str, np.ndarray]  # inputs or outputs by name
Request = TypeVar("Request")
Answer = TypeVar("Answer")


class VersionStatus(TypedDict):
    """The state of one version of a model."""

    state: str  # LOADING, AVAILABLE, UNLOADING or END
    code: str  # a name of grpc.StatusCode
    message: str


class TensorInfo(TypedDict):
    """An input or output of a signature."""

    dtype: str  # numpy's name; "bytes" for strings
    shape: list[int | None] | None  # None: any size, or any rank


class SignatureInfo(TypedDict):
    """A signature's inputs and outputs by name."""

    inputs: dict[str, TensorInfo]
    outputs: dict[str, TensorInfo]


class Metadata(TypedDict):
    """A version of a model."""

    version: int
    signatures: dict[str, SignatureInfo]


@dataclass(frozen=True)
class Call(Generic[Request, Answer]):
    """A request that can be sent any number of times, and the function that reads the response."""

    request: Request
    read: Callable[[Any], Answer]


def refuse_large_request(size: int, max_message_bytes: int) -> None:
    """Refuse a request of `size` bytes before it is sent.

    Raises:
        MessageTooLarge: it is over the limit.
    """
    if size > max_message_bytes:
        raise MessageTooLarge(
            f"a request of {size} bytes is over max_message_bytes={max_message_bytes}; lower batch_size, or raise the "
            "limit of client and server"
        )
