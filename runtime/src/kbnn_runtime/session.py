"""A LiteRT interpreter with the delegate, and the shapes that it is currently set to."""

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from kbnn_runtime.delegate import load_delegate
from kbnn_runtime.litert import LiteRTInterpreter
from kbnn_runtime.tensor import Tensor, make_tensor


class Session:
    """Runs a model on batches of any size.

    The interpreter is resized to the batch if the model allows it. Some models do not: a reshape to
    a fixed size fails, or returns an output without a row per example. Such a model runs on as many
    examples at a time as its file says, which is one for nearly all models.
    """

    def __init__(
        self, content: bytes, *, num_threads: int, kernels: str, preserve_all_tensors: bool = False
    ) -> None:
        # Outside the `try` below: a delegate that cannot be loaded is not an error of the file.
        delegate = load_delegate(
            num_threads=num_threads, kernels=kernels, fusion=not preserve_all_tensors
        )
        self._set_to: list[tuple[int, ...]] = []
        try:
            with warnings.catch_warnings():
                # LiteRT warns that preserving all tensors takes memory.
                warnings.simplefilter("ignore", UserWarning)
                self._litert: Any = LiteRTInterpreter(
                    model_content=content,
                    num_threads=num_threads,
                    experimental_delegates=[delegate],
                    experimental_preserve_all_tensors=preserve_all_tensors,
                )
        except (RuntimeError, ValueError) as error:
            raise _model_error(error) from error
        self._input_details = self._litert.get_input_details()
        self._output_details = self._litert.get_output_details()
        self._own_shapes = [tuple(map(int, entry["shape"])) for entry in self._input_details]
        # The smallest batch size to which the model could not be resized.
        self._too_many: float = math.inf
        names = _signature_names(self._litert)
        self.inputs = _tensors(self._input_details, names.get("inputs", {}))
        self.outputs = _tensors(self._output_details, names.get("outputs", {}))
        try:
            self._litert.allocate_tensors()
            self._set_to = self._own_shapes
        except (RuntimeError, ValueError) as error:
            # Files store 1 for a free size, which may be too small for the model.
            if not any(None in tensor.shape[1:] for tensor in self.inputs):
                raise _model_error(error) from error

    @property
    def own_batch_size(self) -> int:
        """The batch size in the file."""
        return self._own_shapes[0][0]

    def run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Compute the outputs for input arrays, in the order of `inputs`, of 1 or more examples.

        Raises:
            ValueError: The model cannot be resized to these arrays, or has an output without a row
                per example.
            RuntimeError: LiteRT or the delegate failed.
        """
        rows = len(arrays[0])
        if rows < self._too_many or rows == self.own_batch_size:
            outputs = self._run_resized(arrays)
            if outputs is not None:
                return outputs
        outputs = self._run_in_pieces(arrays, rows)
        # Only now is it known that the batch size was the problem, not the other sizes.
        self._too_many = min(self._too_many, rows)
        return outputs

    def tensor(self, index: int) -> np.ndarray:
        """Return a copy of a tensor after a run. Needs `preserve_all_tensors`."""
        return self._litert.get_tensor(index)

    def prepare(self, arrays: Sequence[np.ndarray]) -> None:
        """Resize the interpreter to these inputs and set them, for `invoke`.

        Raises:
            ValueError: The model cannot be resized to them.
        """
        self._resize([tuple(array.shape) for array in arrays])
        self._set_inputs(arrays)

    def invoke(self) -> None:
        """Run once on the inputs of `prepare`."""
        self._litert.invoke()

    def _set_inputs(self, arrays: Sequence[np.ndarray]) -> None:
        for entry, array in zip(self._input_details, arrays, strict=True):
            self._litert.set_tensor(entry["index"], array)

    def _run_resized(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray] | None:
        """Compute the outputs, or return None if the model cannot be resized to this batch."""
        rows = len(arrays[0])
        own_size = [tuple(array.shape) for array in arrays] == self._own_shapes
        try:
            self.prepare(arrays)
            self.invoke()
        except (RuntimeError, ValueError):
            # The file's own sizes leave nothing smaller to fall back to.
            if own_size:
                raise
            return None
        outputs = self._outputs()
        if own_size:
            _check_rows(outputs, rows)
        return outputs if _have_rows(outputs, rows) else None

    def _run_in_pieces(self, arrays: Sequence[np.ndarray], rows: int) -> list[np.ndarray]:
        size = self.own_batch_size
        self._resize([(size, *array.shape[1:]) for array in arrays])
        pieces = []
        for start in range(0, rows, size):
            piece = [array[start : start + size] for array in arrays]
            kept = len(piece[0])
            self._set_inputs([_pad_rows(array, size) for array in piece])
            self.invoke()
            outputs = self._outputs()
            _check_rows(outputs, size)
            pieces.append([output[:kept] for output in outputs])
        return [np.concatenate(parts) for parts in zip(*pieces, strict=True)]

    def _outputs(self) -> list[np.ndarray]:
        return [self._litert.get_tensor(entry["index"]) for entry in self._output_details]

    def _resize(self, shapes: list[tuple[int, ...]]) -> None:
        """Resize the inputs, or raise a ValueError if the model does not allow it."""
        if shapes == self._set_to:
            return
        # If this fails half-way, neither the old nor the new shapes are set.
        self._set_to = []
        try:
            for entry, shape in zip(self._input_details, shapes, strict=True):
                self._litert.resize_tensor_input(entry["index"], shape)
            self._litert.allocate_tensors()
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                "Expected sizes that the model can be resized to. "
                f"Received: {shapes}: {_one_line(error)}"
            ) from error
        self._set_to = shapes


def _model_error(error: BaseException) -> ValueError:
    return ValueError(
        f"Expected a model that LiteRT and the delegate can run. Received: {_one_line(error)}"
    )


def _have_rows(outputs: Sequence[np.ndarray], rows: int) -> bool:
    return all(output.shape[:1] == (rows,) for output in outputs)


def _check_rows(outputs: Sequence[np.ndarray], rows: int) -> None:
    if not _have_rows(outputs, rows):
        raise ValueError(
            "Expected a model whose outputs have a row per example. Received: outputs of shapes "
            f"{[output.shape for output in outputs]} for a batch of {rows}"
        )


def _pad_rows(array: np.ndarray, size: int) -> np.ndarray:
    """Repeat the last row until the array has `size` rows."""
    missing = size - len(array)
    return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) if missing else array


def _signature_names(litert: Any) -> dict[str, dict[int, str]]:
    """Return the names in the model's signature by tensor index, if it has exactly one."""
    signatures = litert._get_full_signature_list()
    if len(signatures) != 1:
        return {}
    (signature,) = signatures.values()
    return {
        kind: {int(index): name for name, index in signature[kind].items()}
        for kind in ("inputs", "outputs")
    }


def _tensors(details: list[dict[str, Any]], names: dict[int, str]) -> tuple[Tensor, ...]:
    given = [names.get(int(entry["index"]), entry["name"]) for entry in details]
    # Names repeat if a model returns the same tensor twice.
    unique = [
        name if given.count(name) == 1 else f"{name}:{given[:i].count(name)}"
        for i, name in enumerate(given)
    ]
    return tuple(make_tensor(entry, name) for entry, name in zip(details, unique, strict=True))


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
