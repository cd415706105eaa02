"""The one error that a user can mend."""


class UserError(ValueError):
    """A mistake in what the user gave.

    The message says, in one line, what is wrong, what is allowed, what was received and what to do. The command line
    prints it alone and exits with code 2; Python callers may catch it as a `ValueError`.
    """
