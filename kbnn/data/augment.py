"""Random crops and horizontal flips, each image its own."""

import tensorflow as tf

# Pixels of black added on each side before the crop.
PADDING = 4
# Random numbers that one image takes: top, left, flip.
DRAWS = 3


def augment(images: tf.Tensor, draws: tf.Tensor, *, crop: bool, flip: bool) -> tf.Tensor:
    """Pad each image, cut a random window of the old size out of it, and flip half of them.

    Every image has its own window and its own flip, and both depend only on its row of `draws`.

    Args:
        images: uint8 `(batch, height, width, channels)`.
        draws: float32 `(batch, 3)`, uniform in [0, 1): top, left, flip.
        crop: Whether to pad by 4 pixels of black (0) on each side and crop back.
        flip: Whether to mirror left and right with probability 1/2.

    Returns:
        Images of the shape and type of `images`.
    """
    if crop:
        sides = [PADDING, PADDING]
        padded = tf.pad(images, [[0, 0], sides, sides, [0, 0]])
        corner = tf.cast(draws[:, :2] * (2 * PADDING + 1), tf.int32)
    else:
        padded = images
        corner = tf.zeros_like(draws[:, :2], tf.int32)
    height, width, channels = images.shape[1:]
    rows = corner[:, :1] + tf.range(height)
    columns = tf.range(width)
    if flip:
        columns = tf.where(draws[:, 2:] < 0.5, columns[::-1], columns)
    columns = corner[:, 1:] + columns
    # One gather on flattened pixels: the window of every image at once.
    pixels = rows[:, :, None] * padded.shape[2] + columns[:, None, :]
    flat = tf.reshape(padded, [-1, padded.shape[1] * padded.shape[2], channels])
    gathered = tf.gather(flat, tf.reshape(pixels, [-1, height * width]), batch_dims=1)
    return tf.reshape(gathered, [-1, height, width, channels])
