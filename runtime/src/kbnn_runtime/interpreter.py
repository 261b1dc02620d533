"""`Interpreter`, which runs an LCE file on batches of arrays or images."""

import os
import pathlib
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from kbnn_runtime.batch import check_batch
from kbnn_runtime.profile import Profile, measure_profile
from kbnn_runtime.progress import make_reporter
from kbnn_runtime.session import Session
from kbnn_runtime.sidecar import Prediction, Sidecar
from kbnn_runtime.tensor import Tensor


class Interpreter:
    """Runs a `.tflite` file of Larq Compute Engine (LCE), or any other, in LiteRT.

    ```python
    from kbnn_runtime import Interpreter
    logits = Interpreter("model.tflite", num_threads=4).predict(images)
    ```

    LiteRT verifies the file before the delegate sees it.

    Args:
        model: The path of the file, or its content as bytes.
        num_threads: How many threads LCE's and LiteRT's operators use, 1 to 128.
        kernels: "auto", or the name of kernels as for `load_delegate`.
        sidecar: How `classify` converts images and names classes: a `Sidecar`, the path of its
            file, or None. By default the file next to the model with the suffix `.json`
            (`model.json` for `model.tflite`) is read if it exists.

    Raises:
        FileNotFoundError: A file does not exist.
        TypeError: An argument has the wrong type.
        ValueError: The file is not a valid model, the sidecar does not fit it, or an argument is
            out of range.
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
            # Read, not mapped: a mapped model would change with the file on the disk.
            self._content = path.read_bytes()
        else:
            raise TypeError(
                f"Expected a path or the bytes of a model. Received: {type(model).__name__}"
            )
        self._name = str(path) if path else "bytes"
        if not self._content:
            raise ValueError(f"Expected a model. Received: 0 bytes ({self._name})")
        self._options: dict[str, Any] = {"num_threads": num_threads, "kernels": kernels}
        # LiteRT's interpreters are not thread-safe.
        self._lock = threading.Lock()
        try:
            self._session = Session(self._content, **self._options)
        except ValueError as error:
            raise ValueError(f"{error} ({self._name})") from error
        if not self.inputs or not all(tensor.shape for tensor in self.inputs):
            raise ValueError(
                "Expected a model whose inputs have the batch as their first axis. Received: "
                f"inputs of shapes {[tensor.shape for tensor in self.inputs]} ({self._name})"
            )
        self.sidecar = _read_sidecar(sidecar, path)
        if self.sidecar is not None:
            self.sidecar.check(self.inputs, self.outputs)

    @property
    def content(self) -> bytes:
        """The content of the model file."""
        return self._content

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """The names, shapes, types and quantization of the inputs."""
        return self._session.inputs

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        """The names, shapes, types and quantization of the outputs."""
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
            batch: An array with the examples along its first axis, or for several inputs a dict of
                arrays by name. Shapes and types must match `inputs`. Nothing is converted: a
                quantized model takes stored values.
            batch_size: How many examples are computed at a time. Larger batches take more memory.
                A model that cannot be resized computes as many as its file says.
            progress: True shows a bar on standard error. A function is called with
                (examples done, examples in total).

        Returns:
            The output with a row per example, or for several outputs a dict of them by name. A
            quantized model returns stored values, which `Tensor.dequantize` converts.

        Raises:
            TypeError: `batch` is neither an array nor a dict of arrays.
            ValueError: A shape, type or name does not match the model.
            RuntimeError: LiteRT or the delegate failed.
        """
        arrays = check_batch(batch, self.inputs)
        results = self._compute(arrays, batch_size, progress)
        if len(results) == 1:
            return results[0]
        return {tensor.name: rows for tensor, rows in zip(self.outputs, results, strict=True)}

    def classify(
        self, images: np.ndarray | Sequence[np.ndarray], *, top: int = 5, batch_size: int = 8
    ) -> list[list[Prediction]]:
        """Return the best classes of each image, with the sidecar's preprocessing and labels.

        Without a sidecar the model must take uint8 images. Its outputs are then the scores, and
        the class numbers are the labels.

        Args:
            images: A uint8 array, 0 to 255, of shape (n, height, width, channels), or
                (n, height, width) for gray images; or a list of images, which may differ in size.
                Images are resized and converted between gray and colour to match the model.
            top: How many classes to return, 1 or more, the best first.
            batch_size: As for `predict`.

        Returns:
            For each image, a list of `Prediction` (label, index, score).

        Raises:
            TypeError: The images have the wrong type.
            ValueError: The images have the wrong shape, or the model is not an image classifier.
        """
        if not isinstance(top, int) or isinstance(top, bool) or top < 1:
            raise ValueError(f"Expected top to be an integer from 1. Received: top={top!r}")
        sidecar = self.sidecar or Sidecar.of_uint8_model(self.inputs, self.outputs)
        (image,), (scores,) = self.inputs, self.outputs
        batch = sidecar.preprocess(images, image)
        (rows,) = self._compute(check_batch(batch, self.inputs), batch_size, False)
        return sidecar.best(scores.dequantize(rows), top)

    def profile(
        self,
        batch: np.ndarray | Mapping[str, np.ndarray],
        *,
        runs: int = 20,
        warmup: int = 3,
    ) -> Profile:
        """Measure how long each operator takes.

        Each operator is extracted from the file as a separate model, and timed on the inputs that
        it has in the network. `Profile` explains how these times relate to the model's.

        Args:
            batch: As for `predict`. It is run as one batch, so the model must allow its size.
            runs: How many runs of each operator to time, 1 or more. Their median is reported.
            warmup: How many runs to make before those.

        Raises:
            TypeError, ValueError: As for `predict`, or `runs` or `warmup` is out of range.
        """
        arrays = check_batch(batch, self.inputs)
        return measure_profile(self._content, arrays, runs, warmup, **self._options)

    def _compute(
        self,
        arrays: list[np.ndarray],
        batch_size: int,
        progress: bool | Callable[[int, int], None],
    ) -> list[np.ndarray]:
        """Return the outputs for checked arrays, in the order of `outputs`."""
        if not isinstance(batch_size, int) or isinstance(batch_size, bool) or batch_size < 1:
            raise ValueError(
                f"Expected batch_size to be an integer from 1. Received: batch_size={batch_size!r}"
            )
        total = len(arrays[0])
        report = make_reporter(progress, total)
        parts = []
        for start in range(0, total, batch_size):
            parts.append(self._run([array[start : start + batch_size] for array in arrays]))
            # The lock is not held here, so the function may call `predict` itself.
            report(min(start + batch_size, total))
        if not parts:
            parts = [self._empty_outputs(arrays)]
        return [np.concatenate(part) for part in zip(*parts, strict=True)]

    def _run(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        with self._lock:
            return self._session.run(arrays)

    def _empty_outputs(self, arrays: list[np.ndarray]) -> list[np.ndarray]:
        """Return outputs without rows, with the other sizes as for one example."""
        one = [np.zeros((1, *array.shape[1:]), array.dtype) for array in arrays]
        return [output[:0] for output in self._run(one)]


def _read_sidecar(
    given: Sidecar | str | os.PathLike[str] | None, model: pathlib.Path | None
) -> Sidecar | None:
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
