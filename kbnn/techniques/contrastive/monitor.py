"""A callback that logs the metrics of contrastive terms."""

from typing import Any

import tf_keras as keras

from kbnn import _checks
from kbnn.graph.larq_quantizers import check_kernels, quantizers_of
from kbnn.techniques.contrastive.contrastive_sign import ContrastiveSign
from kbnn.techniques.contrastive.contrastive_term import ContrastiveTerm


class ContrastMonitor(keras.callbacks.Callback):
    """Logs the metrics of contrastive terms at the end of each epoch.

    For each layer that has a term, it adds three values to the logs:

    - `<layer>/contrast_bound`: InfoNCE's lower bound of the mutual information of binary and real
      activations, in nats, from the embeddings that the term trains. It never exceeds the logarithm
      of the batch size.
    - `<layer>/contrast_distinct_codes`: The share of samples whose binary code no earlier sample
      of the batch has.
    - `<layer>/contrast_loss`: The term without its weight. Batches that found a queue empty do not
      count.

    Put `CSVLogger` and `TensorBoard` behind this callback.

    Raises:
        ValueError: In `fit`, the model has no contrastive term.

    Example:
        >>> import kbnn
        >>> monitor = kbnn.callbacks.ContrastMonitor()  # for fit(..., callbacks=[monitor])

    Source: The metrics are kbnn's. The bound is from "Representation Learning with Contrastive
    Predictive Coding" (van den Oord et al., 2018).
    """

    def __init__(self) -> None:
        super().__init__()
        self._terms: dict[str, ContrastiveTerm] = {}

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        _checks.built(self.model)
        check_kernels(self.model)
        self._terms = contrastive_terms(self.model)
        if not self._terms:
            raise ValueError(
                "Expected a model with a contrastive term: see kbnn.techniques.with_contrast. "
                f"Received: model={self.model.name!r} without one"
            )

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        for term in self._terms.values():
            term.reset_metrics()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is None:
            return
        for name, term in self._terms.items():
            for metric, value in term.metric_results()._asdict().items():
                logs[f"{name}/contrast_{metric}"] = value


def contrastive_terms(model: keras.Model) -> dict[str, ContrastiveTerm]:
    """Return the contrastive terms of a model, nested ones too, by the name of their layer.

    A term that no quantizer of a layer holds has its own name. Repeated names get a number.
    """
    layers = [one for one in model.submodules if isinstance(one, keras.layers.Layer)]
    owners = {
        id(quantizer.contrast): layer.name
        for layer in layers
        for quantizer in quantizers_of(layer).values()
        if isinstance(quantizer, ContrastiveSign)
    }
    for layer in layers:
        if isinstance(layer, ContrastiveSign):
            owners.setdefault(id(layer.contrast), layer.name)
    found: dict[str, ContrastiveTerm] = {}
    for term in {id(one): one for one in layers if isinstance(one, ContrastiveTerm)}.values():
        name = str(owners.get(id(term), term.name))
        number = sum(key.split("#")[0] == name for key in found)
        found[f"{name}#{number + 1}" if number else name] = term
    return found
