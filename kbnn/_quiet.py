"""Keeps the notes that TensorFlow prints while it is imported off the user's screen."""

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator

# "I0000 00:00:1795236411.891791 3362 file.cc:31] ..." and absl's announcement of such lines.
# They are written before TF_CPP_MIN_LOG_LEVEL has any effect.
_NOTE = re.compile(rb"WARNING: All log messages before absl::InitializeLog|I\d{4} \d\d:\d\d:")


@contextlib.contextmanager
def native_notes_dropped() -> Iterator[None]:
    """Drop native informational lines written to standard error; everything else comes through.

    The native code writes to the file descriptor, past `sys.stderr`, so the descriptor itself is
    turned into a file for the while. Set TF_CPP_MIN_LOG_LEVEL=0 to see every line.
    """
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "0":
        yield
        return
    try:
        saved = os.dup(2)
    except OSError:  # a process without standard error (some services)
        yield
        return
    _flush()
    try:
        with tempfile.TemporaryFile() as captured:
            os.dup2(captured.fileno(), 2)
            try:
                yield
            finally:
                _flush()
                os.dup2(saved, 2)
                captured.seek(0)
                for line in captured:
                    if not _NOTE.match(line):
                        os.write(2, line)
    finally:
        os.close(saved)


def _flush() -> None:
    # None under pythonw; a notebook or a logger may have put something else there.
    if sys.stderr is not None:
        sys.stderr.flush()
