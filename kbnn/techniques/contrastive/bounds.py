"""Lower bounds of the mutual information of two views, from contrastive losses."""

from typing import Any

import tensorflow as tf

from kbnn import _checks


def mutual_information_bound(log_ratio: Any, negatives: Any) -> tf.Tensor:
    r"""Bound the mutual information of two views from below, by the critic of `nce_loss`.

    $$I \geq \log N + \mathrm{E} \log h, \qquad \log h = -\mathrm{softplus}(\log N - r)$$

    where r is the critic's logarithm of the density ratio of a positive pair, $s_+/\tau - \log c$.
    (log N minus the whole loss is a bound too, but a loose one.)

    It is a bound only in the mean, and only for negatives that are drawn from all samples. If the
    negatives leave out the anchor's class, it bounds nothing.

    Args:
        log_ratio: r for each positive pair, `(batch,)`.
        negatives: N, a number above 0.

    Returns:
        A float32 scalar in nats. It is at most log N, and below 0 if the critic knows nothing.

    Raises:
        ValueError: N is not above 0.

    Example:
        >>> float(mutual_information_bound([0.0], 1)).__round__(4)
        -0.6931

    Source: "Contrastive Representation Distillation" (Tian et al., 2020), as CMIM uses it.
    """
    count = tf.math.log(_number_of_negatives(negatives))
    log_ratio = tf.cast(log_ratio, tf.float32)
    return count - tf.reduce_mean(tf.nn.softplus(count - log_ratio))


def info_nce_bound(losses: Any, negatives: Any) -> tf.Tensor:
    r"""Bound the mutual information of two views from below, by losses of InfoNCE.

    $$I \geq \log(N + 1) - \mathrm{E} L$$

    It is a bound under the same conditions as `mutual_information_bound`.

    Args:
        losses: L for one anchor, `(batch,)`: half of `info_nce_loss`.
        negatives: N, the number of negatives of each anchor. In a batch without labels this is the
            batch size minus 1.

    Returns:
        A float32 scalar in nats, at most log(N + 1).

    Raises:
        ValueError: N is not above 0.

    Example:
        >>> float(info_nce_bound([0.0], 7)).__round__(4)
        2.0794

    Source: "Representation Learning with Contrastive Predictive Coding" (van den Oord et al.,
    2018).
    """
    count = _number_of_negatives(negatives)
    return tf.math.log(count + 1.0) - tf.reduce_mean(tf.cast(losses, tf.float32))


def _number_of_negatives(negatives: Any) -> tf.Tensor:
    if not tf.is_tensor(negatives):
        _checks.number("negatives", negatives, above=0)
    return tf.cast(negatives, tf.float32)
