"""The error that a user can mend."""

import pytest

import tf_spot
from tf_spot.errors import UserError


def test_python_callers_may_catch_a_value_error() -> None:
    assert tf_spot.UserError is UserError
    with pytest.raises(ValueError, match="received: 3"):
        raise UserError("drop_rate must be below 1; received: 3")
