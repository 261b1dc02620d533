"""The one way in which kbnn writes a file: whole, or not at all."""

import contextlib
import os
import pathlib
import stat
import tempfile
from collections.abc import Iterator

UNFINISHED = ".unfinished-"
"""Prefix of the folders that hold unfinished files. A killed process leaves its folder behind."""


@contextlib.contextmanager
def replace_file(path: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Yield a temporary path to write to; if the block succeeds, that file replaces `path`.

    If the block fails, or the process dies, `path` keeps its old content. A file that is replaced
    keeps its permissions. A symbolic link stays, and the file that it points to is replaced. The
    temporary file has the name of `path`, suffix included, in a folder next to it.

    Raises:
        OSError: the folder of `path` does not exist or cannot be written to.

    Example:
        >>> with replace_file("settings.json") as temporary:    # doctest: +SKIP
        ...     temporary.write_text("{}")
    """
    path = pathlib.Path(path).resolve()
    with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=path.parent) as folder:
        temporary = pathlib.Path(folder, path.name)
        yield temporary
        if path.exists():
            temporary.chmod(stat.S_IMODE(path.stat().st_mode))
        os.replace(temporary, path)
