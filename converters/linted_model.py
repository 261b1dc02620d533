"""A model together with its calls and lint results, each worked out once."""

import functools

import tf_keras as keras

from kbnn.converters.kernel_layers import is_kernel_layer
from kbnn.converters.lint_rules import LintResult, lint_layer
from kbnn.graph.calls import Call, calls_of
from kbnn.graph.layers import layers_of


class LintedModel:
    """A model, as it is trained, frozen or rewritten for the device, with what is known of it.

    Everything is worked out when it is first asked for, and kept.

    Args:
        model: the model. It must not change afterwards.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self._results: dict[int, LintResult] = {}

    @functools.cached_property
    def calls(self) -> list[Call]:
        """Every call of a layer, in the order in which the model runs."""
        return calls_of(self.model)

    @functools.cached_property
    def kernel_layers(self) -> list[keras.layers.Layer]:
        """The layers that multiply by weights, including layers of nested models."""
        return [layer for layer in layers_of(self.model) if is_kernel_layer(layer)]

    @property
    def lint_results(self) -> list[LintResult]:
        """A result for each of `kernel_layers`."""
        return [self.lint(layer) for layer in self.kernel_layers]

    def calls_to(self, layer: keras.layers.Layer) -> list[Call]:
        """The calls of one layer."""
        return self._calls_by_layer.get(id(layer), [])

    def lint(self, layer: keras.layers.Layer) -> LintResult:
        """How one of `kernel_layers` will run on the device."""
        if id(layer) not in self._results:
            self._results[id(layer)] = lint_layer(layer, self.calls_to(layer))
        return self._results[id(layer)]

    def runs_binary(self, layer: keras.layers.Layer) -> bool:
        """Whether a layer, which need not have a kernel, will run as a binary operator."""
        return is_kernel_layer(layer) and self.lint(layer).binary

    @functools.cached_property
    def _calls_by_layer(self) -> dict[int, list[Call]]:
        found: dict[int, list[Call]] = {}
        for call in self.calls:
            found.setdefault(id(call.layer), []).append(call)
        return found
