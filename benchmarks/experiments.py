"""The experiments that judge the techniques: one line each.

Two experiments are compared seed by seed, so they share everything but what is in question. The
settings of the baselines were chosen on the validation split (`screening` in accuracy.py).
"""

from kbnn.cli import RunConfig

FASHION = {"data": "fashion_mnist", "model": "vgg_tiny", "batch_size": 128, "epochs": 12}
REAL = {"input_quantizer": "none", "kernel_quantizer": "none"}

EXPERIMENTS = {
    "fashion-float": RunConfig(**FASHION, **REAL, learning_rate=0.002),
    "fashion-ste_sign": RunConfig(**FASHION, learning_rate=0.005),
}

BASELINES = {"fashion-float": "fashion-ste_sign"}
"""With which experiment an experiment is compared; with itself, it is not."""
