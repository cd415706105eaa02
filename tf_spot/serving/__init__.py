"""Clients of TensorFlow Serving, and a local server for development that speaks the same protocol."""

from tf_spot.serving.client import AsyncClient, Client
from tf_spot.serving.errors import MessageTooLarge, ServingError

__all__ = ["AsyncClient", "Client", "MessageTooLarge", "ServingError"]
