"""Error codes, HTTP statuses, and which errors may pass."""

import grpc
import pytest

from tf_spot.serving.errors import HTTP_STATUS, MessageTooLarge, ServingError, code_of_http, missing_extra


def test_every_code_of_grpc_has_a_status() -> None:
    assert set(HTTP_STATUS) == {code.name for code in grpc.StatusCode} - {"OK"}


@pytest.mark.parametrize("code", ["INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED", "UNAVAILABLE"])
def test_what_the_server_answers_is_read_as_the_same_code(code: str) -> None:
    assert code_of_http(ServingError(code, "").http_status) == code


def test_other_statuses() -> None:
    assert (code_of_http(500), code_of_http(599), code_of_http(418)) == ("INTERNAL", "INTERNAL", "UNKNOWN")


def test_only_a_server_that_is_away_or_busy_is_tried_again() -> None:
    temporary = {code for code in HTTP_STATUS if ServingError(code, "").is_temporary}
    assert temporary == {"UNAVAILABLE", "RESOURCE_EXHAUSTED"}
    large = MessageTooLarge("21 bytes")
    assert not large.is_temporary and large.http_status == 413 and str(large) == "RESOURCE_EXHAUSTED: 21 bytes"


def test_the_extra_is_named() -> None:
    assert str(missing_extra(ModuleNotFoundError(name="httpx"))).startswith("httpx is not installed; ")
