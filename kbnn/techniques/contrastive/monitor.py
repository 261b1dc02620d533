"""What contrastive terms measure, tap by tap, in the logs of `fit`."""

from typing import Any

import tf_keras as keras

from kbnn import _checks
from kbnn.graph.larq_quantizers import check_kernels, quantizers_of
from kbnn.techniques.contrastive.contrastive_sign import ContrastiveSign
from kbnn.techniques.contrastive.contrastive_term import ContrastiveTerm


class ContrastMonitor(keras.callbacks.Callback):
    """Write into the logs of each epoch what contrastive terms measured in its batches.

    For each layer that has one:

    - `<layer>/contrast_bound`: a lower bound of the mutual information of binary and real
      activations, in nats: InfoNCE's on the batches, of the embeddings that the term trains. It
      cannot exceed the logarithm of the batch's size;
    - `<layer>/contrast_distinct_codes`: share of samples whose binary code no sample before them
      in the batch has;
    - `<layer>/contrast_loss`: the term, without its weight; of a queue without the batches that
      found it empty.

    Put `CSVLogger` and `TensorBoard` behind this callback.

    Raises:
        ValueError: in `fit`, a model without a contrastive term.

    >>> import kbnn
    >>> monitor = kbnn.callbacks.ContrastMonitor()   # for fit(..., callbacks=[monitor])

    The measures are kbnn's; the bound is that of "Representation Learning with Contrastive
    Predictive Coding" (van den Oord et al., 2018).
    """

    def __init__(self) -> None:
        super().__init__()
        self._terms: dict[str, ContrastiveTerm] = {}

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        _checks.built(self.model)
        check_kernels(self.model)
        self._terms = contrasts(self.model)
        if not self._terms:
            raise ValueError(
                "Expected a model with a contrastive term, as kbnn.techniques.with_contrast gives "
                f"it. Received: model={self.model.name!r} without one"
            )

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        for term in self._terms.values():
            term.reset_metrics()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if logs is None:
            return
        for name, term in self._terms.items():
            for measure, value in term.means()._asdict().items():
                logs[f"{name}/contrast_{measure}"] = value


def contrasts(model: keras.Model) -> dict[str, ContrastiveTerm]:
    """The contrastive terms in a model, at any depth, by the name of the layer that has one.

    That is a term's own name where no quantizer of a layer holds it, and a number is behind a name
    that comes again.
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
