"""The one error that a user can mend, and faults of the machine told in the same way."""

from __future__ import annotations

import errno
import os


class UserError(ValueError):
    """A mistake in what the user gave.

    The message says, in one line, what is wrong, what is allowed, what was received and what to do. The command line
    prints it alone and exits with code 2; Python callers may catch it as a `ValueError`.
    """


class NoSpace(UserError):
    """A disk is full: what comes next would not fit either."""


NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # the disk, a quota, a limit on the size of files
# {numbers of the system: (what must be, what to do)}
_ADVICE: dict[tuple[int, ...], tuple[str, str]] = {
    NO_SPACE: ("there must be room for what is written", "free some space or write to another disk"),
    (errno.EROFS,): ("what is written must lie on a disk that allows it", "write to another disk"),
    (errno.EACCES, errno.EPERM): ("this user must be allowed to read and write the files", "change the permissions"),
    (errno.ENOENT,): ("every file must be there", "check the path"),
    (errno.ENOTDIR, errno.EEXIST): ("a folder must stand where a file stands", "give another path"),
    (errno.EISDIR,): ("a file must stand where a folder stands", "give another path"),
    (errno.ENOTEMPTY,): ("the folder must be empty", "give another folder"),
    (errno.ENAMETOOLONG,): ("names must be short enough for the file system", "give a shorter name"),
    (errno.EMFILE, errno.ENFILE): ("the system must allow more open files", "raise the limit: ulimit -n 4096"),
    (errno.ENOMEM,): ("there must be memory left", "close other programs or lower the batch size"),
}


def machine_fault(error: OSError) -> UserError:
    """Return what the system refused as a `UserError`: a full disk, a missing permission, a file in the way."""
    wanted, advice = next(
        (texts for numbers, texts in _ADVICE.items() if error.errno in numbers),
        ("the system must do what it is asked to", "check the disk and the network"),
    )
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if isinstance(name, str | bytes)]
    reason = error.strerror or str(error) or type(error).__name__
    return UserError(f"{wanted}; received: {', '.join([reason, *names])}; {advice}")
