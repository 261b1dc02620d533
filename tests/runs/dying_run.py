"""The kbnn command, but it dies as by kill -9 at a moment that is asked for.

    python dying_run.py MOMENT COUNT train ...

MOMENT is the name of a file of the run, for the moment before it takes its place for the COUNT-th
time; `backup`, before the COUNT-th saving of the state; or `batch`, before the COUNT-th batch ends.
"""

import os
import pathlib
import signal
import sys

from kbnn import _files
from kbnn.cli.main import main

import tf_keras as keras  # isort: skip

moment, left = sys.argv[1], int(sys.argv[2])
del sys.argv[1:3]


def dying(function, is_moment):
    def watched(*arguments, **options):
        global left
        left -= is_moment(*arguments)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)

    return watched


if moment == "batch":
    keras.callbacks.CallbackList.on_train_batch_end = dying(
        keras.callbacks.CallbackList.on_train_batch_end, lambda *_: True
    )
elif moment == "backup":
    keras.callbacks.BackupAndRestore._backup = dying(
        keras.callbacks.BackupAndRestore._backup, lambda *_: True
    )
else:
    _files.os.replace = dying(os.replace, lambda _, path: pathlib.Path(path).name == moment)
main()
