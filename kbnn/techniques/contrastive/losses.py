"""Contrastive losses between two views of a sample, and what they say of mutual information."""

import math
import numbers
from typing import Any

import tensorflow as tf

LOWEST_TEMPERATURE = 1e-3
"""Similarities over a lower one differ by more than float32 resolves beside their exponentials."""


def nce_loss(
    binary: Any,
    real: Any,
    binary_negatives: Any,
    real_negatives: Any,
    *,
    keep: Any = None,
    temperature: float = 0.1,
    log_scale: Any = None,
) -> tf.Tensor:
    r"""Noise-contrastive estimation: tell a sample's other view from those of other samples.

    With similarities $s$ and $N$ negatives an anchor has

    $$L = \mathrm{softplus}\Big(\log N + \log c - \frac{s_+}{\tau}\Big)
        + \sum_{j=1}^{N} \mathrm{softplus}\Big(\frac{s_j}{\tau} - \log N - \log c\Big)$$

    which is $-\log h(s_+) - \sum_j \log(1 - h(s_j))$ with
    $h(s) = e^{s/\tau} / (e^{s/\tau} + N c)$. The loss is the sum over two anchors: the binary view
    against the real one and the real negatives, and the other way round.

    Args:
        binary: embeddings of the binary views, `(batch, size)`, of length 1.
        real: embeddings of the real-valued views of the same samples, of the same shape.
        binary_negatives: embeddings of other samples' binary views, `(negatives, size)`.
        real_negatives: the same of the real-valued views.
        keep: booleans `(batch, negatives)`: which ones are an anchor's negatives; all by default.
            N is their number, anchor by anchor. An anchor without any has the loss 0.
        temperature: tau.
        log_scale: log c, a number, or two for the two anchors; c is to be the mean of
            $e^{s/\tau}$ at the beginning of a training. By default that of these similarities,
            as a constant.

    Returns:
        The loss of each sample, float32 `(batch,)`.

    Raises:
        ValueError: no negatives; a temperature below 0.001.

    >>> import kbnn
    >>> view, others = [[1.0, 0.0]], [[1.0, 0.0]] * 7
    >>> kbnn.losses.nce_loss(view, view, others, others).numpy().round(3)
    array([6.028], dtype=float32)

    which is 2 (log 8 + 7 log(8 / 7)).

    Sources: the paper's page (CMIM) for the pairing; "Contrastive Representation Distillation"
    (Tian et al., 2020) for h. There h has the constants Z / M and N / M, whose quotient is N c: the
    size M of the data set cancels. The stable form is kbnn's.
    """
    check_temperature(temperature)
    binary, real, binary_negatives, real_negatives = map(
        _float32, (binary, real, binary_negatives, real_negatives)
    )
    positive = _similarity(binary, real)
    scales = (None, None) if log_scale is None else tf.unstack(_float32(log_scale) + tf.zeros(2))
    return tf.add_n(
        [
            nce_of_anchors(
                positive,
                tf.matmul(anchor, negatives, transpose_b=True),
                keep=keep,
                temperature=temperature,
                log_scale=scale,
            )
            for anchor, negatives, scale in zip(
                (binary, real), (real_negatives, binary_negatives), scales, strict=True
            )
        ]
    )


def info_nce_loss(
    binary: Any,
    real: Any,
    labels: Any = None,
    *,
    binary_negatives: Any = None,
    real_negatives: Any = None,
    keep: Any = None,
    temperature: float = 0.1,
) -> tf.Tensor:
    r"""InfoNCE: choose a sample's other view among those of other samples.

    $$L = -\log \frac{e^{s_+/\tau}}{e^{s_+/\tau} + \sum_j e^{s_j/\tau}}$$

    for an anchor; the sum over two anchors, as for `nce_loss`.

    Args:
        binary: embeddings of the binary views, `(batch, size)`, of length 1.
        real: embeddings of the real-valued views of the same samples, of the same shape.
        labels: with negatives from the batch: numbers `(batch,)`; samples that share one are no
            negatives of each other. A sample's own pair always counts.
        binary_negatives: embeddings of other samples' binary views, `(negatives, size)`; by
            default those of the batch.
        real_negatives: the same of the real-valued views.
        keep: beside such negatives, booleans `(batch, negatives)`: which ones are an anchor's.
            An anchor without any has the loss 0.
        temperature: tau.

    Returns:
        The loss of each sample, float32 `(batch,)`.

    Raises:
        ValueError: one of the two kinds of negatives alone; none; labels beside negatives, or
            `keep` without; a temperature below 0.001.

    >>> import kbnn
    >>> view = [[1.0, 0.0], [0.0, 1.0]]
    >>> kbnn.losses.info_nce_loss(view, view, temperature=1.0).numpy().round(4)
    array([0.6265, 0.6265], dtype=float32)
    >>> kbnn.losses.info_nce_loss(view, view, labels=[3, 3]).numpy()
    array([0., 0.], dtype=float32)

    Source: "Representation Learning with Contrastive Predictive Coding" (van den Oord et al.,
    2018), section 2.3. Its use between binary and real activations is kbnn's.
    """
    check_temperature(temperature)
    if (binary_negatives is None) != (real_negatives is None):
        raise ValueError("Expected both kinds of negatives, or none. Received: one of them")
    binary, real = _float32(binary), _float32(real)
    positive = _similarity(binary, real)
    if binary_negatives is None:
        if keep is not None:
            raise ValueError("Expected `keep` beside negatives. Received: `keep` without")
        binary_negatives, real_negatives = binary, real
        own = tf.eye(tf.shape(binary)[0], dtype=tf.bool)
        keep = ~own if labels is None else ~own & ~_same(labels, positive.shape[0])
    elif labels is not None:
        raise ValueError("Expected `keep` beside negatives. Received: `labels`")
    binary_negatives, real_negatives = _float32(binary_negatives), _float32(real_negatives)
    return tf.add_n(
        [
            info_nce_of_anchors(
                positive,
                tf.matmul(anchor, negatives, transpose_b=True),
                keep=keep,
                temperature=temperature,
            )
            for anchor, negatives in ((binary, real_negatives), (real, binary_negatives))
        ]
    )


def nce_of_anchors(
    positive: Any, negative: Any, *, keep: Any = None, temperature: float, log_scale: Any = None
) -> tf.Tensor:
    """One anchor of `nce_loss`: similarities `(batch,)` and `(batch, negatives)` to `(batch,)`."""
    positive, negative, keep, count = _parts(positive, negative, keep, temperature)
    if log_scale is None:
        log_scale = log_mean_exp(positive, negative, keep)
    offset = tf.math.log(tf.maximum(count, 1.0)) + log_scale
    # A similarity that does not count may be any number, and so may its gradient.
    others = tf.nn.softplus(tf.where(keep, negative, 0.0) - offset[:, None])
    losses = tf.nn.softplus(offset - positive) + tf.reduce_sum(tf.where(keep, others, 0.0), axis=-1)
    return tf.where(count > 0, losses, 0.0)


def info_nce_of_anchors(
    positive: Any, negative: Any, *, keep: Any = None, temperature: float
) -> tf.Tensor:
    """One anchor of `info_nce_loss`, of similarities as for `nce_of_anchors`."""
    positive, negative, keep, _ = _parts(positive, negative, keep, temperature)
    chosen_from = tf.concat(
        [positive[:, None], tf.where(keep, negative, negative.dtype.min)], axis=-1
    )
    return tf.reduce_logsumexp(chosen_from, axis=-1) - positive


def log_mean_exp(positive: tf.Tensor, negative: tf.Tensor, keep: tf.Tensor) -> tf.Tensor:
    """log c, a constant: that of similarities over the temperature, and which of them count."""
    counted = tf.where(keep, negative, negative.dtype.min)
    total = tf.reduce_logsumexp(tf.concat([positive[:, None], counted], axis=-1))
    number = tf.cast(tf.size(positive), tf.float32) + tf.reduce_sum(tf.cast(keep, tf.float32))
    return tf.stop_gradient(total - tf.math.log(number))


def mutual_information_bound(log_ratio: Any, negatives: Any) -> tf.Tensor:
    r"""A lower bound of the mutual information of two views, in nats, from `nce_loss`'s critic.

    $$I \geq \log N + \mathrm{E} \log h, \qquad \log h = -\mathrm{softplus}(\log N - r)$$

    with r the critic's logarithm of the density ratio of the positive pairs, $s_+/\tau - \log c$.
    (log N less the whole of the loss is a bound too, and a loose one.)

    Args:
        log_ratio: r of positive pairs, `(batch,)`.
        negatives: N, a number.

    Returns:
        A scalar, float32. At most log N, and below 0 where the critic knows nothing.

    Raises:
        ValueError: N that is not above 0.

    Limits: a bound in the mean alone, and for negatives drawn from all samples; where those of the
    anchor's class are left out, it bounds nothing.

    >>> import kbnn
    >>> float(kbnn.losses.mutual_information_bound([0.0], 1)).__round__(4)
    -0.6931

    Source: the paper's page (CMIM); "Contrastive Representation Distillation" (Tian et al., 2020),
    equation 9.
    """
    _check_number_of(negatives)
    count = tf.math.log(_float32(negatives))
    return count - tf.reduce_mean(tf.nn.softplus(count - _float32(log_ratio)))


def info_nce_bound(losses: Any, negatives: Any) -> tf.Tensor:
    r"""A lower bound of the mutual information of two views, in nats, from InfoNCE's losses.

    $$I \geq \log(N + 1) - \mathrm{E} L$$

    Args:
        losses: L, of one anchor, `(batch,)`: half of `info_nce_loss`.
        negatives: N, those of each anchor, a number. In a batch without labels its size less 1.

    Returns:
        A scalar, float32, at most log(N + 1).

    Raises:
        ValueError: N that is not above 0.

    Limits: those of `mutual_information_bound`.

    >>> import kbnn
    >>> float(kbnn.losses.info_nce_bound([0.0], 7)).__round__(4)
    2.0794

    Source: "Representation Learning with Contrastive Predictive Coding" (van den Oord et al.,
    2018), appendix A.1.
    """
    _check_number_of(negatives)
    return tf.math.log(_float32(negatives) + 1.0) - tf.reduce_mean(_float32(losses))


def check_temperature(temperature: Any) -> None:
    """Raise ValueError for a number that is no temperature."""
    if tf.is_tensor(temperature):
        return
    is_number = isinstance(temperature, numbers.Real) and not isinstance(temperature, bool)
    if not is_number or not math.isfinite(temperature) or temperature < LOWEST_TEMPERATURE:
        raise ValueError(
            f"Expected `temperature` to be a number from {LOWEST_TEMPERATURE} on. "
            f"Received: temperature={temperature!r}"
        )


def _parts(
    positive: Any, negative: Any, keep: Any, temperature: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Similarities over the temperature, which negatives count, and how many of each anchor."""
    check_temperature(temperature)
    positive, negative = _float32(positive) / temperature, _float32(negative) / temperature
    if negative.shape.rank != 2 or negative.shape[-1] == 0:
        raise ValueError(
            "Expected one or more negatives, similarities `(batch, negatives)`. "
            f"Received: a shape {negative.shape}"
        )
    keep = tf.ones_like(negative, tf.bool) if keep is None else tf.convert_to_tensor(keep)
    if keep.dtype != tf.bool or not keep.shape.is_compatible_with(negative.shape):
        raise ValueError(
            f"Expected `keep` to be booleans {negative.shape}. "
            f"Received: {keep.dtype.name} of shape {keep.shape}"
        )
    return positive, negative, keep, tf.reduce_sum(tf.cast(keep, tf.float32), axis=-1)


def _similarity(binary: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
    """The inner products of the views of each sample."""
    if binary.shape.rank != 2 or not binary.shape.is_compatible_with(real.shape):
        raise ValueError(
            "Expected embeddings of two views, `(batch, size)` both. "
            f"Received: {binary.shape} and {real.shape}"
        )
    return tf.reduce_sum(binary * real, axis=-1)


def _same(labels: Any, batch: int | None) -> tf.Tensor:
    """Which samples share a label."""
    labels = tf.convert_to_tensor(labels)
    if not labels.shape.is_compatible_with((batch,)):
        raise ValueError(
            f"Expected `labels` to be `({batch or 'batch'},)`. Received: a shape {labels.shape}"
        )
    return labels[:, None] == labels[None, :]


def _check_number_of(negatives: Any) -> None:
    if tf.is_tensor(negatives):
        return
    is_number = isinstance(negatives, numbers.Real) and not isinstance(negatives, bool)
    if not is_number or not math.isfinite(negatives) or negatives <= 0:
        raise ValueError(
            f"Expected `negatives` to be a number above 0. Received: negatives={negatives!r}"
        )


def _float32(values: Any) -> tf.Tensor:
    return tf.cast(values, tf.float32)
