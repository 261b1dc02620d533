"""Measurements of accuracy and of training cost: commands run as `python -m research.NAME`."""

import kbnn  # noqa: F401 - selects Keras 2 before anything imports TensorFlow
