"""A validation set with the class proportions of the training set."""

import numpy as np


def stratified_split(
    labels: np.ndarray, validation: float | int, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Split positions into training and validation, class by class.

    Args:
        labels: int64 `(n,)`.
        validation: A fraction in (0, 1) of `n`, rounded and at least one image, or a count in
            `[1, n)`; 0 takes none.
        seed: Which images are taken depends on `labels`, `validation` and this alone.

    Returns:
        Two sorted int64 arrays of positions in `labels`: training and validation.

    Raises:
        ValueError: Nothing would be left to train on.
    """
    total = len(labels)
    count = max(1, round(total * validation)) if isinstance(validation, float) else validation
    if validation == 0:
        count = 0
    if count >= total:
        raise ValueError(
            f"Expected `validation` to leave some of the {total} training images. "
            f"Received: validation={validation}"
        )
    _, inverse, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    # Largest remainder: each class gives its share rounded down, then the largest fractions one
    # image more, until the count is reached.
    quotas, remainders = np.divmod(sizes * count, total)
    most_cut_first = np.argsort(-remainders, kind="stable")
    quotas[most_cut_first[: count - quotas.sum()]] += 1
    # RandomState, because NumPy froze its stream; that of default_rng may change.
    random = np.random.RandomState(seed)
    taken = np.zeros(total, bool)
    for label, quota in enumerate(quotas):
        taken[random.permutation(np.flatnonzero(inverse == label))[:quota]] = True
    return np.flatnonzero(~taken), np.flatnonzero(taken)
