"""What both protocols of the clients share."""

import pytest

from tf_spot.serving.errors import MessageTooLarge
from tf_spot.serving.messages import Call, refuse_large_request


def test_a_request_at_the_limit_is_sent() -> None:
    refuse_large_request(100, 100)
    with pytest.raises(MessageTooLarge, match="a request of 101 bytes is over max_message_bytes=100; lower batch_size"):
        refuse_large_request(101, 100)


def test_a_call_can_be_sent_again() -> None:
    call = Call(("GET", "url"), read=int)
    with pytest.raises(AttributeError):
        call.request = ("GET", "other")
    assert call.read("3") == 3
