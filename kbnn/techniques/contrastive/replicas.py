"""The batch of all replicas, for a loss that compares samples with each other."""

import tensorflow as tf


def all_gather_batch(*tensors: tf.Tensor | None) -> tuple[tf.Tensor | None, ...]:
    """Concatenate the batches of all replicas.

    Gradients reach only the replica's own part: see `scale_gradient_for_replicas`.

    Args:
        tensors: Tensors of the replica's batch, `(batch, ...)`. None stays None.

    Returns:
        The concatenated tensors, the same on every replica. Without a distribution strategy, the
        given tensors.
    """
    context = _replica_context()
    if context is None:
        return tensors
    given = [tensor for tensor in tensors if tensor is not None]
    size = tf.shape(given[0], tf.int64)[0]
    sizes = context.all_gather(size[None], axis=0)
    first = tf.reduce_sum(sizes[: context.replica_id_in_sync_group])

    def gather(tensor: tf.Tensor) -> tf.Tensor:
        all_parts = context.all_gather(tf.stop_gradient(tensor), axis=0)
        if not tensor.dtype.is_floating:
            return all_parts
        return tf.concat([all_parts[:first], tensor, all_parts[first + size :]], axis=0)

    return tuple(None if tensor is None else gather(tensor) for tensor in tensors)


def scale_gradient_for_replicas(loss: tf.Tensor) -> tf.Tensor:
    """Prepare a loss of the joint batch for `add_loss` on each replica.

    Keras divides the losses and gradients of the replicas by their number and adds them up. All
    replicas have the same loss, so its sum is right. But each replica has only one part of the
    gradient, which has to be multiplied by their number.
    """
    context = _replica_context()
    if context is None:
        return loss
    others = float(context.num_replicas_in_sync - 1)
    return loss + others * (loss - tf.stop_gradient(loss))


def all_reduce_mean(value: tf.Tensor) -> tf.Tensor:
    """Return the mean of a number over the replicas; without a strategy, the number."""
    context = _replica_context()
    return value if context is None else context.all_reduce(tf.distribute.ReduceOp.MEAN, value)


def gather_rows(variable: tf.Variable, rows: tf.Tensor) -> tf.Tensor:
    """Read rows of a variable that each replica writes itself, without copying the variable."""
    copies = tf.distribute.get_strategy().experimental_local_results(variable)
    context = _replica_context()
    replica = 0 if context is None else tf.get_static_value(context.replica_id_in_sync_group)
    return tf.gather(copies[int(replica) % len(copies)], rows)


def _replica_context() -> tf.distribute.ReplicaContext | None:
    """Return the context of a replica among others, or None."""
    context = tf.distribute.get_replica_context()
    return context if context is not None and context.num_replicas_in_sync > 1 else None
