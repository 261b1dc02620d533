"""Contrastive losses between two views of a sample."""

from typing import Any

import tensorflow as tf

from kbnn import _checks

LOWEST_TEMPERATURE = 1e-3
"""Below it, similarities differ by more than float32 resolves in their exponentials."""


def nce_loss(
    binary: Any,
    real: Any,
    binary_negatives: Any,
    real_negatives: Any,
    *,
    binary_positives: Any = None,
    real_positives: Any = None,
    keep: Any = None,
    temperature: float = 0.1,
    log_scale: Any = None,
) -> tf.Tensor:
    r"""Noise-contrastive estimation: tell a sample's other view from the views of other samples.

    An anchor with similarities $s$ and $N$ negatives has the loss

    $$L = \mathrm{softplus}\Big(\log N + \log c - \frac{s_+}{\tau}\Big)
        + \sum_{j=1}^{N} \mathrm{softplus}\Big(\frac{s_j}{\tau} - \log N - \log c\Big)$$

    which equals $-\log h(s_+) - \sum_j \log(1 - h(s_j))$ with
    $h(s) = e^{s/\tau} / (e^{s/\tau} + N c)$. The result is the sum over two anchors: the binary
    view against the real view and the real negatives, and the real view against the binary ones.

    Args:
        binary: Embeddings of the binary views, `(batch, size)`, of length 1.
        real: Embeddings of the real-valued views of the same samples, in the same shape.
        binary_negatives: Embeddings of the binary views of other samples, `(negatives, size)`.
        real_negatives: Embeddings of the real-valued views of other samples.
        binary_positives: Embeddings that replace `binary` as the positives of the real anchors,
            in the same shape, such as the samples' rows in a memory.
        real_positives: Embeddings that replace `real` as the positives of the binary anchors.
        keep: Booleans `(batch, negatives)`: which negatives an anchor has. By default it has all.
            N is counted for each anchor, and an anchor without negatives has the loss 0.
        temperature: tau, at least 0.001.
        log_scale: log c, one number or one for each of the two anchors. c should be the mean of
            $e^{s/\tau}$ at the start of training. By default it is the mean over the given
            similarities, as a constant.

    Returns:
        The loss of each sample, float32 `(batch,)`.

    Raises:
        ValueError: There are no negatives, only one of the two kinds of positives is given, or the
            temperature is below 0.001.

    Example:
        The result is 2 (log 8 + 7 log(8 / 7)).

        >>> import kbnn
        >>> view, others = [[1.0, 0.0]], [[1.0, 0.0]] * 7
        >>> kbnn.losses.nce_loss(view, view, others, others).numpy().round(3)
        array([6.028], dtype=float32)

    Source: CMIM for the pairing, and its code for the loss, which comes from "Contrastive
    Representation Distillation" (Tian et al., 2020). The code writes h with the constants Z / M and
    N / M. Their quotient is N c, so the size M of the data set cancels. The stable form is kbnn's.
    """
    check_temperature(temperature)
    binary, real, binary_negatives, real_negatives = (
        tf.cast(value, tf.float32) for value in (binary, real, binary_negatives, real_negatives)
    )
    positives = _pair_similarities(binary, real, binary_positives, real_positives)
    scales: Any = (None, None)
    if log_scale is not None:
        scales = tf.unstack(tf.cast(log_scale, tf.float32) + tf.zeros(2))
    return tf.add_n(
        [
            nce_per_anchor(
                positive,
                tf.matmul(anchor, negatives, transpose_b=True),
                keep=keep,
                temperature=temperature,
                log_scale=scale,
            )
            for positive, anchor, negatives, scale in zip(
                positives, (binary, real), (real_negatives, binary_negatives), scales, strict=True
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
    binary_positives: Any = None,
    real_positives: Any = None,
    keep: Any = None,
    temperature: float = 0.1,
) -> tf.Tensor:
    r"""InfoNCE: classify a sample's other view among the views of other samples.

    An anchor has the loss

    $$L = -\log \frac{e^{s_+/\tau}}{e^{s_+/\tau} + \sum_j e^{s_j/\tau}}$$

    and the result is the sum over the same two anchors as in `nce_loss`.

    Args:
        binary: Embeddings of the binary views, `(batch, size)`, of length 1.
        real: Embeddings of the real-valued views of the same samples, in the same shape.
        labels: Labels `(batch,)`, for negatives from the batch. Samples with equal labels are not
            negatives of each other. A sample's own pair always counts.
        binary_negatives: Embeddings of the binary views of other samples, `(negatives, size)`. By
            default the batch provides the negatives.
        real_negatives: Embeddings of the real-valued views of other samples.
        binary_positives: As in `nce_loss`.
        real_positives: As in `nce_loss`.
        keep: Booleans `(batch, negatives)` for given negatives: which ones an anchor has. An anchor
            without negatives has the loss 0.
        temperature: tau, at least 0.001.

    Returns:
        The loss of each sample, float32 `(batch,)`.

    Raises:
        ValueError: Only one of the two kinds of negatives or of positives is given, there are no
            negatives, `labels` come with given negatives, `keep` comes without, or the temperature
            is below 0.001.

    Example:
        >>> import kbnn
        >>> view = [[1.0, 0.0], [0.0, 1.0]]
        >>> kbnn.losses.info_nce_loss(view, view, temperature=1.0).numpy().round(4)
        array([0.6265, 0.6265], dtype=float32)
        >>> kbnn.losses.info_nce_loss(view, view, labels=[3, 3]).numpy()
        array([0., 0.], dtype=float32)

    Source: "Representation Learning with Contrastive Predictive Coding" (van den Oord et al.,
    2018). Its use between binary and real activations is kbnn's.
    """
    check_temperature(temperature)
    _check_both_or_neither("negatives", binary_negatives, real_negatives)
    binary, real = tf.cast(binary, tf.float32), tf.cast(real, tf.float32)
    positives = _pair_similarities(binary, real, binary_positives, real_positives)
    if binary_negatives is None:
        if keep is not None:
            raise ValueError("Expected `keep` only with negatives. Received: `keep` without them")
        binary_negatives, real_negatives = binary, real
        own = tf.eye(tf.shape(binary)[0], dtype=tf.bool)
        keep = ~own if labels is None else ~own & ~_have_same_label(labels, binary.shape[0])
    elif labels is not None:
        raise ValueError("Expected `keep` with given negatives. Received: `labels`")
    negatives = (tf.cast(real_negatives, tf.float32), tf.cast(binary_negatives, tf.float32))
    return tf.add_n(
        [
            info_nce_per_anchor(
                positive,
                tf.matmul(anchor, others, transpose_b=True),
                keep=keep,
                temperature=temperature,
            )
            for positive, anchor, others in zip(positives, (binary, real), negatives, strict=True)
        ]
    )


def nce_per_anchor(
    positive: Any, negative: Any, *, keep: Any = None, temperature: float, log_scale: Any = None
) -> tf.Tensor:
    """Return `nce_loss` for one anchor, `(batch,)`.

    Args:
        positive: Similarities of the pairs, `(batch,)`.
        negative: Similarities to the negatives, `(batch, negatives)`.
        keep: As in `nce_loss`.
        temperature: As in `nce_loss`.
        log_scale: As in `nce_loss`, one number.
    """
    positive, negative, keep = _divide_by_temperature(positive, negative, keep, temperature)
    count = tf.reduce_sum(tf.cast(keep, tf.float32), axis=-1)
    if log_scale is None:
        log_scale = log_mean_exp(positive, negative, keep)
    offset = tf.math.log(tf.maximum(count, 1.0)) + log_scale
    # A similarity that does not count may be any number, and so may its gradient.
    others = tf.nn.softplus(tf.where(keep, negative, 0.0) - offset[:, None])
    losses = tf.nn.softplus(offset - positive) + tf.reduce_sum(tf.where(keep, others, 0.0), axis=-1)
    return tf.where(count > 0, losses, 0.0)


def info_nce_per_anchor(
    positive: Any, negative: Any, *, keep: Any = None, temperature: float
) -> tf.Tensor:
    """Return `info_nce_loss` for one anchor, from similarities as in `nce_per_anchor`."""
    positive, negative, keep = _divide_by_temperature(positive, negative, keep, temperature)
    logits = tf.concat([positive[:, None], tf.where(keep, negative, negative.dtype.min)], axis=-1)
    return tf.reduce_logsumexp(logits, axis=-1) - positive


def log_mean_exp(positive: tf.Tensor, negative: tf.Tensor, keep: tf.Tensor) -> tf.Tensor:
    """Return log c, a constant, from similarities that are divided by the temperature already."""
    counted = tf.where(keep, negative, negative.dtype.min)
    total = tf.reduce_logsumexp(tf.concat([positive[:, None], counted], axis=-1))
    number = tf.cast(tf.size(positive), tf.float32) + tf.reduce_sum(tf.cast(keep, tf.float32))
    return tf.stop_gradient(total - tf.math.log(number))


def check_temperature(temperature: Any) -> None:
    """Raise ValueError unless a value is a tensor or a number of at least 0.001."""
    if not tf.is_tensor(temperature):
        _checks.number("temperature", temperature, least=LOWEST_TEMPERATURE)


def _divide_by_temperature(
    positive: Any, negative: Any, keep: Any, temperature: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return similarities over the temperature, and `keep` as a tensor."""
    check_temperature(temperature)
    positive = tf.cast(positive, tf.float32) / temperature
    negative = tf.cast(negative, tf.float32) / temperature
    if negative.shape.rank != 2 or negative.shape[-1] == 0:
        raise ValueError(
            "Expected one or more negatives, with similarities `(batch, negatives)`. "
            f"Received: shape {negative.shape}"
        )
    keep = tf.ones_like(negative, tf.bool) if keep is None else tf.convert_to_tensor(keep)
    if keep.dtype != tf.bool or not keep.shape.is_compatible_with(negative.shape):
        raise ValueError(
            f"Expected `keep` to be booleans of shape {negative.shape}. "
            f"Received: {keep.dtype.name} of shape {keep.shape}"
        )
    return positive, negative, keep


def _pair_similarities(
    binary: tf.Tensor, real: tf.Tensor, binary_positives: Any, real_positives: Any
) -> list[tf.Tensor]:
    """Return the similarity of each binary and of each real anchor to its positive."""
    _check_both_or_neither("positives", binary_positives, real_positives)
    if binary_positives is None:
        binary_positives, real_positives = binary, real
    similarities = []
    for anchor, positive in ((binary, real_positives), (real, binary_positives)):
        positive = tf.cast(positive, tf.float32)
        if anchor.shape.rank != 2 or not anchor.shape.is_compatible_with(positive.shape):
            raise ValueError(
                "Expected embeddings of two views, both `(batch, size)`. "
                f"Received: shapes {anchor.shape} and {positive.shape}"
            )
        similarities.append(tf.reduce_sum(anchor * positive, axis=-1))
    return similarities


def _check_both_or_neither(kind: str, binary: Any, real: Any) -> None:
    if (binary is None) != (real is None):
        raise ValueError(
            f"Expected `binary_{kind}` and `real_{kind}`, or neither. Received: one of them"
        )


def _have_same_label(labels: Any, batch: int | None) -> tf.Tensor:
    """Return which samples have the same label, `(batch, batch)`."""
    labels = tf.convert_to_tensor(labels)
    if not labels.shape.is_compatible_with((batch,)):
        raise ValueError(
            f"Expected `labels` to be `({batch or 'batch'},)`. Received: shape {labels.shape}"
        )
    return labels[:, None] == labels[None, :]
