"""Datasets that tensorflow-datasets downloads."""

from kbnn.data.examples import ArrayExamples, array_examples


def download(name: str) -> tuple[ArrayExamples, ArrayExamples]:
    """Fetch a dataset through tensorflow-datasets, which keeps it for the next time.

    Args:
        name: A name that tensorflow-datasets knows, with features `image` and `label`.

    Returns:
        The training and the test set, in the order in which tensorflow-datasets stores them.

    Raises:
        Exception: Whatever tensorflow-datasets raises; ImportError when it is not installed.
    """
    import tensorflow_datasets as tfds

    train, test = tfds.as_numpy(
        tfds.load(name, split=["train", "test"], batch_size=-1, shuffle_files=False)
    )
    return (
        array_examples(train["image"], train["label"], f"tensorflow-datasets {name}, train"),
        array_examples(test["image"], test["label"], f"tensorflow-datasets {name}, test"),
    )
