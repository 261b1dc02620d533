"""`Interpreter`: an LCE file, run on batches of arrays or images."""

import os
import pathlib
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from kbnn_runtime.batch import checked_batch
from kbnn_runtime.profile import Profile, profiled
from kbnn_runtime.progress import reporter
from kbnn_runtime.session import Session
from kbnn_runtime.sidecar import Prediction, Sidecar
from kbnn_runtime.tensor import Tensor


class Interpreter:
    """Runs a `.tflite` file, one of Larq Compute Engine (LCE) or any other, in LiteRT.

    ```python
    from kbnn_runtime import Interpreter
    logits = Interpreter("model.tflite", num_threads=4).predict(images)
    ```

    The file is verified by LiteRT before any native code of ours sees it.

    Args:
        model: The file's path, or its content as bytes.
        num_threads: Threads to compute with, 1 to 128; for LCE's operators and LiteRT's own.
        kernels: "auto", or the kernels of `load_delegate` that are to be used.
        sidecar: What `classify` needs to know: a `Sidecar`, or the path of its file. By default
            the file beside the model with the suffix `.json` (`model.json` for `model.tflite`), if
            there is one; None for none.

    Raises:
        FileNotFoundError: There is no such file.
        TypeError: An argument of another type.
        ValueError: The file is no valid model, or an argument is out of range, or the sidecar does
            not fit.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes,
        num_threads: int = 1,
        *,
        kernels: str = "auto",
        sidecar: Sidecar | str | os.PathLike[str] | None = "auto",
    ) -> None:
        if isinstance(model, bytes):
            path, self._content = None, model
        elif isinstance(model, str | os.PathLike):
            path = pathlib.Path(model)
            if path.is_dir():
                raise ValueError(
                    f"Expected the path of a model. Received: a folder, {os.fspath(model)!r}"
                )
            # From memory, and not mapped: a file that changes on the disk would change under it.
            self._content = path.read_bytes()
        else:
            raise TypeError(
                f"Expected a path or the bytes of a model. Received: {type(model).__name__}"
            )
        self._name = str(path) if path else "bytes"
        if not self._content:
            raise ValueError(f"Expected a model. Received nothing: {self._name} is empty")
        self._options: dict[str, Any] = {"num_threads": num_threads, "kernels": kernels}
        # An interpreter of LiteRT serves one thread at a time.
        self._lock = threading.Lock()
        try:
            self._session = Session(self._content, **self._options)
        except ValueError as error:
            raise ValueError(f"{error} ({self._name})") from error
        if not self.inputs or not all(tensor.shape for tensor in self.inputs):
            raise ValueError(
                "Expected a model whose inputs have the batch as their first size. Received: "
                f"inputs of shapes {[tensor.shape for tensor in self.inputs]} ({self._name})"
            )
        self.sidecar = _sidecar(sidecar, path)
        if self.sidecar is not None:
            self.sidecar.check(self.inputs, self.outputs)

    @property
    def content(self) -> bytes:
        """The file, as it was read."""
        return self._content

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """Names, shapes, types and quantization of the inputs."""
        return self._session.inputs

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """Names, shapes, types and quantization of the outputs."""
        return self._session.outputs

    def predict(
        self,
        batch: np.ndarray | Mapping[str, np.ndarray],
        *,
        batch_size: int = 8,
        progress: bool | Callable[[int, int], None] = False,
    ) -> np.ndarray | dict[str, np.ndarray]:
        """Run the model.

        Args:
            batch: An array with examples in its first axis, or for several inputs a dict of them
                by name, with the shapes and types of `inputs`. Nothing is converted: a quantized
                model takes stored values.
            batch_size: How many examples are computed at a time: memory grows with it. A model
                that cannot be resized computes as many as it was made for.
            progress: True shows a bar on standard error; a function is called with the numbers of
                examples done and of all.

        Returns:
            The output with a row per example, or for several outputs a dict of them by name. A
            quantized model returns stored values: see `Tensor.dequantize`.

        Raises:
            TypeError: Not an array or a dict of arrays.
            ValueError: A shape, type or name that is not the model's, before anything is computed.
            RuntimeError: LiteRT or the delegate failed.
        """
        arrays = checked_batch(batch, self.inputs)
        results = self._computed(arrays, batch_size, progress)
        if len(results) == 1:
            return results[0]
        return {tensor.name: rows for tensor, rows in zip(self.outputs, results, strict=True)}

    def classify(
        self, images: np.ndarray | Sequence[np.ndarray], *, top: int = 5, batch_size: int = 8
    ) -> list[list[Prediction]]:
        """The best classes of each image, by what the sidecar says of preprocessing and labels.

        Without a sidecar the model must take uint8 images; scores are then its outputs as they
        are, and the labels are the numbers of the classes.

        Args:
            images: uint8, 0 to 255: (n, height, width, channels), without the channels where the
                images have one, or a list of images, whose sizes may differ. They are resized to
                the model's, and gray and colour are converted, as the sidecar says.
            top: How many classes, 1 or more, the best first.
            batch_size: As for `predict`.

        Returns:
            For each image a list of `Prediction` (label, index, score).

        Raises:
            TypeError: Images of another type.
            ValueError: Images of another shape, or a model that is no classifier of images.
        """
        if not isinstance(top, int) or isinstance(top, bool) or top < 1:
            raise ValueError(f"Expected top to be an integer from 1. Received: top={top!r}")
        sidecar = self.sidecar or Sidecar.of_uint8_model(self.inputs, self.outputs)
        (image,), (scores,) = self.inputs, self.outputs
        batch = sidecar.preprocessed(images, image)
        (rows,) = self._computed(checked_batch(batch, self.inputs), batch_size, False)
        return sidecar.best(scores.dequantize(rows), top)

    def profile(
        self,
        batch: np.ndarray | Mapping[str, np.ndarray],
        *,
        runs: int = 20,
        warmup: int = 3,
    ) -> Profile:
        """How long each operator takes, each one timed in a model of its own.

        LiteRT's interpreters for Python have no profiler, so each operator is cut out of the file
        as a model of one operator, given the inputs that it has in the network, and timed: see
        `Profile` for what that leaves out.

        Args:
            batch: As for `predict`; it is run as one batch, so the model must allow its size.
            runs: Timed runs of each operator, 1 or more; the median counts.
            warmup: Runs before them.

        Raises:
            TypeError, ValueError: As for `predict`; or `runs` or `warmup` is out of range.
        """
        return profiled(
            self._content, checked_batch(batch, self.inputs), runs, warmup, **self._options
        )

    def _computed(
        self,
        arrays: list[np.ndarray],
        batch_size: int,
        progress: bool | Callable[[int, int], None],
    ) -> list[np.ndarray]:
        """The outputs for arrays that were checked, in the order of `outputs`."""
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
            raise ValueError(
                f"Expected batch_size to be an integer from 1. Received: batch_size={batch_size!r}"
            )
        total = len(arrays[0])
        report = reporter(progress, total)
        parts = []
        for start in range(0, total, batch_size):
            parts.append(self._run([array[start : start + batch_size] for array in arrays]))
            # Without the lock: what is reported to may call `predict` itself.
            report(min(start + batch_size, total))
        if not parts:
            parts = [self._outputs_of_nothing(arrays)]
        return [np.concatenate(part) for part in zip(*parts, strict=True)]

    def _run(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        with self._lock:
            return self._session.run(arrays)

    def _outputs_of_nothing(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        """Outputs without rows, of the shapes that one example has."""
        one = [np.zeros((1, *array.shape[1:]), array.dtype) for array in arrays]
        return [output[:0] for output in self._run(one)]


def _sidecar(given: Any, model: pathlib.Path | None) -> Sidecar | None:
    if given is None or isinstance(given, Sidecar):
        return given
    if not isinstance(given, str | os.PathLike):
        raise TypeError(
            f"Expected sidecar to be a Sidecar, a path or None. Received: {type(given).__name__}"
        )
    if given == "auto":
        beside = model.with_suffix(".json") if model else None
        return Sidecar.read(beside) if beside and beside.is_file() else None
    return Sidecar.read(given)
