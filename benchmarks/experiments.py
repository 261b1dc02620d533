"""The experiments that judge the techniques: one line each.

Two experiments are compared seed by seed, so they share everything but what is in question. The
settings of the baselines were chosen among the variants below on the validation split (their
screening rows in results/accuracy.csv).
"""

from kbnn.cli import RunConfig

FASHION = {"data": "fashion_mnist", "model": "vgg_tiny", "batch_size": 128, "epochs": 12}
# The CIFAR-10 at hand is a copy in JPEG (quality 75), which costs some accuracy; hence its name.
# Two epochs are what two CPU cores can do: they compare beginnings, not trained networks.
CIFAR = {"data": "cifar10", "model": "resnet20", "batch_size": 128, "augment": "both", "epochs": 2}
REAL = {"input_quantizer": "none", "kernel_quantizer": "none"}

VARIANTS = {
    **{
        f"fashion-float-lr{rate}": RunConfig(**FASHION, **REAL, learning_rate=rate)
        for rate in (0.001, 0.003)
    },
    **{
        f"fashion-ste_sign-lr{rate}": RunConfig(**FASHION, learning_rate=rate)
        for rate in (0.002, 0.005, 0.01)
    },
    **{
        f"cifar10jpeg-resnet20-float-lr{rate}": RunConfig(**CIFAR, **REAL, learning_rate=rate)
        for rate in (0.001, 0.003)
    },
    **{
        f"cifar10jpeg-resnet20-ste_sign-lr{rate}": RunConfig(**CIFAR, learning_rate=rate)
        for rate in (0.002, 0.005)
    },
    "fashion-ste_sign-lr0.005-clip1": RunConfig(**FASHION, learning_rate=0.005, clip_norm=1.0),
    "fashion-ste_sign-sgd0.1": RunConfig(**FASHION, optimizer="sgd", learning_rate=0.1),
}
"""What the baselines' settings were chosen among, in screening."""

EXPERIMENTS = {
    "fashion-float": RunConfig(**FASHION, **REAL, learning_rate=0.003),
    "fashion-ste_sign": RunConfig(**FASHION, learning_rate=0.005),
    "cifar10jpeg-resnet20-float": RunConfig(**CIFAR, **REAL, learning_rate=0.003),
    "cifar10jpeg-resnet20-ste_sign": RunConfig(**CIFAR, learning_rate=0.005),
    **VARIANTS,
}

BASELINES = {
    "fashion-float": "fashion-ste_sign",
    "cifar10jpeg-resnet20-float": "cifar10jpeg-resnet20-ste_sign",
}
"""With which experiment an experiment is compared."""
