"""Networks of signs and of real weights, with which the techniques are compared."""

from research.experiments.experiment import group

REAL = dict(input_quantizer="none", kernel_quantizer="none")
FASHION = dict(
    dataset="fashion_mnist", architecture="vgg_tiny", batch_size=128, epochs=12, learning_rate=0.005
)
# This CIFAR-10 is a JPEG copy (quality 75), which costs some accuracy. Two CPU cores can do two
# epochs, which compare how training begins, not trained networks.
CIFAR = dict(dataset="cifar10", architecture="resnet20", batch_size=128, augment="both", epochs=2)
# 242 characters, 3,630 training images, as omniglot.py writes them (`--data-dir` names the file).
OMNIGLOT = dict(
    dataset="folder",
    architecture="vgg_tiny",
    batch_size=128,
    epochs=90,
    augment="crop",
    validation=0.2,
)

# The same training twice: the first one has final runs, the second one was screened.
FASHION_SIGNS = ("fashion-pretrained", "fashion-ste_sign-lr0.005")
OMNIGLOT_SIGNS = ("omniglot-ste_sign", "omniglot-ste_sign-lr0.005")
# For training whose steps take about twice as long.
TWICE_THE_EPOCHS = "fashion-ste_sign-e24"

EXPERIMENTS = {
    **group(
        "fashion-",
        FASHION,
        {
            "ste_sign": {},
            # The same on another machine: what runs on that machine is compared with it.
            "pretrained": {},
            "ste_sign-e24": dict(epochs=24),
            "ste_sign-lr0.002": dict(learning_rate=0.002),
            "ste_sign-lr0.005": {},
            "ste_sign-lr0.01": dict(learning_rate=0.01),
            "ste_sign-lr0.005-clip1": dict(clip_norm=1.0),
            "ste_sign-sgd0.1": dict(optimizer="sgd", learning_rate=0.1),
            "float-lr0.001": dict(REAL, learning_rate=0.001),
            "float-lr0.003": dict(REAL, learning_rate=0.003),
        },
    ),
    **group(
        "fashion-",
        FASHION,
        {
            "float": dict(REAL, learning_rate=0.003),
            # What the signs of kernels cost, and so about what better signs could gain.
            "real_kernels": dict(kernel_quantizer="none"),
            # The normalization of smooth inputs, which also puts a sign before the last pooling.
            "ste_sign-binary_norm": dict(normalization="binary"),
        },
        baselines=("fashion-ste_sign",),
    ),
    **group(
        "cifar10jpeg-resnet20-",
        CIFAR,
        {
            "ste_sign": dict(learning_rate=0.005),
            "ste_sign-lr0.002": dict(learning_rate=0.002),
            "ste_sign-lr0.005": dict(learning_rate=0.005),
            "float-lr0.001": dict(REAL, learning_rate=0.001),
            "float-lr0.003": dict(REAL, learning_rate=0.003),
        },
    ),
    **group(
        "cifar10jpeg-resnet20-",
        CIFAR,
        {"float": dict(REAL, learning_rate=0.003)},
        baselines=("cifar10jpeg-resnet20-ste_sign",),
    ),
    **group(
        "omniglot-",
        OMNIGLOT,
        {
            "ste_sign": dict(learning_rate=0.005),
            "ste_sign-lr0.002": dict(learning_rate=0.002),
            "ste_sign-lr0.005": dict(learning_rate=0.005),
            "ste_sign-lr0.01": dict(learning_rate=0.01),
            "float-lr0.002": dict(REAL, learning_rate=0.002),
        },
    ),
}
