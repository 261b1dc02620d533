"""One interpreter of LiteRT with the delegate in it, and the shapes that it is set to."""

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from kbnn_runtime.delegate import load_delegate
from kbnn_runtime.litert import LiteRTInterpreter
from kbnn_runtime.tensor import Tensor, described


class Session:
    """Runs a model on batches of any size.

    The interpreter is resized to the batch where the model allows that. Some do not: a reshape to a
    fixed size fails, or gives an output without a row per example. Such a model gets as many
    examples at a time as it was made for, which is one for nearly all models.
    """

    def __init__(
        self, content: bytes, *, num_threads: int, kernels: str, preserve_all_tensors: bool = False
    ) -> None:
        # LiteRT's errors for what is wrong with a file are of both kinds; a delegate that cannot
        # be loaded is none of them.
        delegate = load_delegate(
            num_threads=num_threads, kernels=kernels, fusion=not preserve_all_tensors
        )
        self._set_to: list[tuple[int, ...]] = []
        try:
            with warnings.catch_warnings():
                # That preserving all tensors takes memory.
                warnings.simplefilter("ignore", UserWarning)
                self._litert: Any = LiteRTInterpreter(
                    model_content=content,
                    num_threads=num_threads,
                    experimental_delegates=[delegate],
                    experimental_preserve_all_tensors=preserve_all_tensors,
                )
        except (RuntimeError, ValueError) as error:
            raise _refused(error) from error
        self._input_details = self._litert.get_input_details()
        self._output_details = self._litert.get_output_details()
        self._own_shapes = [tuple(map(int, entry["shape"])) for entry in self._input_details]
        # The fewest rows to which the model could not be resized.
        self._too_many: float = math.inf
        names = _signature_names(self._litert)
        self.inputs = _described(self._input_details, names.get("inputs", {}))
        self.outputs = _described(self._output_details, names.get("outputs", {}))
        try:
            self._litert.allocate_tensors()
            self._set_to = self._own_shapes
        except (RuntimeError, ValueError) as error:
            # A file has 1 in place of a free size, which may be too small for it.
            if not any(None in tensor.shape[1:] for tensor in self.inputs):
                raise _refused(error) from error

    @property
    def own_batch_size(self) -> int:
        """How many examples the file was made for."""
        return self._own_shapes[0][0]

    def run(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The outputs for arrays of one batch size, 1 or more, in the order of the inputs.

        Raises:
            ValueError: The model cannot be resized to free sizes other than the batch's, or has an
                output without a row per example.
            RuntimeError: LiteRT or the delegate failed.
        """
        rows = len(arrays[0])
        if rows < self._too_many or rows == self.own_batch_size:
            outputs = self._run_resized(arrays)
            if outputs is not None:
                return outputs
        outputs = self._run_in_pieces(arrays, rows)
        # Now, and not before: sizes that the model refuses say nothing of others.
        self._too_many = min(self._too_many, rows)
        return outputs

    def tensor(self, index: int) -> np.ndarray:
        """A copy of a tensor of the graph, after `run`; only with `preserve_all_tensors`."""
        return self._litert.get_tensor(index)

    def prepare(self, arrays: Sequence[np.ndarray]) -> None:
        """Set the interpreter to the shapes of these inputs, and give it them, for `invoke`.

        Raises:
            ValueError: The model cannot be resized to them.
        """
        self._resize([tuple(array.shape) for array in arrays])
        self._set_inputs(arrays)

    def invoke(self) -> None:
        """Run once on the inputs that were set."""
        self._litert.invoke()

    def _set_inputs(self, arrays: Sequence[np.ndarray]) -> None:
        for entry, array in zip(self._input_details, arrays, strict=True):
            self._litert.set_tensor(entry["index"], array)

    def _run_resized(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray] | None:
        """The outputs, or None if the model cannot be given this batch."""
        rows = len(arrays[0])
        own_size = [tuple(array.shape) for array in arrays] == self._own_shapes
        try:
            self.prepare(arrays)
            self.invoke()
        except (RuntimeError, ValueError):
            # At the sizes it was made for there is no smaller step to fall back to.
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
            self._set_inputs([_padded(array, size) for array in piece])
            self.invoke()
            outputs = self._outputs()
            _check_rows(outputs, size)
            pieces.append([output[:kept] for output in outputs])
        return [np.concatenate(parts) for parts in zip(*pieces, strict=True)]

    def _outputs(self) -> list[np.ndarray]:
        return [self._litert.get_tensor(entry["index"]) for entry in self._output_details]

    def _resize(self, shapes: list[tuple[int, ...]]) -> None:
        """Raise a ValueError where the model cannot be resized to these shapes."""
        if shapes == self._set_to:
            return
        # Should it fail half-way, the next call must not take the old shapes for those set.
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


def _refused(error: BaseException) -> ValueError:
    return ValueError(
        "Expected a model that LiteRT and the delegate can run. "
        f"Received one that they refuse: {_one_line(error)}"
    )


def _have_rows(outputs: Sequence[np.ndarray], rows: int) -> bool:
    return all(output.shape[:1] == (rows,) for output in outputs)


def _check_rows(outputs: Sequence[np.ndarray], rows: int) -> None:
    if not _have_rows(outputs, rows):
        raise ValueError(
            "Expected a model whose outputs have a row per example. Received: outputs of shapes "
            f"{[output.shape for output in outputs]} for a batch of {rows}"
        )


def _padded(array: np.ndarray, size: int) -> np.ndarray:
    """The array with its last row repeated up to `size` rows."""
    missing = size - len(array)
    return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) if missing else array


def _signature_names(litert: Any) -> dict[str, dict[int, str]]:
    """The names that a model's only signature gives its tensors, by their index."""
    signatures = litert._get_full_signature_list()
    if len(signatures) != 1:
        return {}
    (signature,) = signatures.values()
    return {
        kind: {int(index): name for name, index in signature[kind].items()}
        for kind in ("inputs", "outputs")
    }


def _described(details: list[dict[str, Any]], names: dict[int, str]) -> tuple[Tensor, ...]:
    given = [names.get(int(entry["index"]), entry["name"]) for entry in details]
    # Two names are the same when a model returns one tensor twice.
    unique = [
        name if given.count(name) == 1 else f"{name}:{given[:i].count(name)}"
        for i, name in enumerate(given)
    ]
    return tuple(described(entry, name) for entry, name in zip(details, unique, strict=True))


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
