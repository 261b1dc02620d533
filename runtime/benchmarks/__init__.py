"""Measurements of kbnn-runtime's speed: commands run as `python -m runtime.benchmarks.NAME`."""

import kbnn  # noqa: F401 - selects Keras 2 before anything imports TensorFlow
