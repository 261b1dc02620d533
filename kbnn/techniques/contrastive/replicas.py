"""The batch of all replicas, where a loss compares samples with each other."""

import tensorflow as tf


def all_gather_batch(*tensors: tf.Tensor | None) -> tuple[tf.Tensor | None, ...]:
    """Put the replicas' tensors in a row, each in the place of its batch.

    Gradients go to the replica's own part: see `of_all_replicas`.

    Args:
        tensors: of the replica's batch, `(batch, ...)`; None stays None.

    Returns:
        Tensors of all batches, the same on every replica; without a strategy the given ones.
    """
    context = _context()
    if context is None:
        return tensors
    given = [tensor for tensor in tensors if tensor is not None]
    size = tf.shape(given[0], tf.int64)[0]
    sizes = context.all_gather(size[None], axis=0)
    first = tf.reduce_sum(sizes[: context.replica_id_in_sync_group])

    def joint(tensor: tf.Tensor) -> tf.Tensor:
        everyone = context.all_gather(tf.stop_gradient(tensor), axis=0)
        if not tensor.dtype.is_floating:
            return everyone
        return tf.concat([everyone[:first], tensor, everyone[first + size :]], axis=0)

    return tuple(None if tensor is None else joint(tensor) for tensor in tensors)


def of_all_replicas(loss: tf.Tensor) -> tf.Tensor:
    """A loss of the joint batch, for `add_loss` on each replica.

    Keras adds up the replicas' losses and gradients after it has divided them by their number. The
    loss is the same on all, so its sum is right as it is; but each replica has one part alone of
    the gradient, which is to stay whole.
    """
    context = _context()
    if context is None:
        return loss
    others = float(context.num_replicas_in_sync - 1)
    return loss + others * (loss - tf.stop_gradient(loss))


def mean_of_replicas(value: tf.Tensor) -> tf.Tensor:
    """The mean of a number over the replicas; without a strategy the number."""
    context = _context()
    return value if context is None else context.all_reduce(tf.distribute.ReduceOp.MEAN, value)


def gathered(variable: tf.Variable, rows: tf.Tensor) -> tf.Tensor:
    """Rows of a variable that each replica writes itself; the whole is not read, nor copied."""
    copies = tf.distribute.get_strategy().experimental_local_results(variable)
    context = _context()
    replica = 0 if context is None else tf.get_static_value(context.replica_id_in_sync_group)
    return tf.gather(copies[int(replica) % len(copies)], rows)


def _context() -> tf.distribute.ReplicaContext | None:
    """That of a replica among others."""
    context = tf.distribute.get_replica_context()
    return context if context is not None and context.num_replicas_in_sync > 1 else None
