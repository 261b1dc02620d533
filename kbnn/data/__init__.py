"""Image data as batched, shuffled tf.data pipelines."""
