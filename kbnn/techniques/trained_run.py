"""The network of a finished run, as a setting of another run."""

import dataclasses
import hashlib
import os
import pathlib
from typing import ClassVar

import tf_keras as keras

from kbnn._settings import Settings, document_settings, setting
from kbnn.training.load_model import load_model


@document_settings
@dataclasses.dataclass(frozen=True)
class TrainedRun(Settings):
    """The network of a finished run.

    Its folder may move. Which network it is, its checksum says.

    Args:
        {settings}

    Raises:
        ValueError: `directory` does not hold a finished run.
    """

    is_given_as_text: ClassVar[bool] = True

    directory: str = setting(help="folder of the finished run", form="RUN", is_place=True)
    sha256: str | None = setting(None, "checksum of its model.keras", unset="the file's checksum")

    def __post_init__(self) -> None:
        super().__post_init__()
        self._keep("directory", os.path.abspath(self.directory))
        if self.sha256 is None:
            if not os.path.isfile(self.file):
                raise ValueError(
                    "Expected the folder of a finished run, with model.keras. "
                    f"Received: {self.directory}"
                )
            self._keep("sha256", _checksum(self.file))

    @property
    def file(self) -> pathlib.Path:
        """The file of the network."""
        return pathlib.Path(self.directory) / "model.keras"

    def load(self) -> keras.Model:
        """Load the network.

        Raises:
            ValueError: The folder holds no network any more, or another one.
        """
        if not os.path.isfile(self.file) or _checksum(self.file) != self.sha256:
            raise ValueError(
                f"Expected {self.directory} to hold the network that this run began with. "
                "Received: another model.keras, or none"
            )
        return load_model(self.file)


def _checksum(file: pathlib.Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
