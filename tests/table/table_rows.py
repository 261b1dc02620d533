"""The rows: every quantizer, layer and callback that users train with."""

import pathlib
import tempfile
from typing import Any

import larq as lq
import numpy as np
import tf_keras as keras

import kbnn
from tests.table.rows import CallbackRow, LayerRow, QuantizerRow, by_name


def sign(x):
    return np.where(x >= 0, 1.0, -1.0)


def clipped_identity(x):
    return (np.abs(x) <= 1.3).astype(float)


def approx_sign_gradient(x):
    return np.where(np.abs(x) <= 1, 2 - 2 * np.abs(x), 0)


def convolved(x, kernel):
    """Convolve a batch of images, padded with zeros."""
    before, after = (np.array(kernel.shape[:2]) - 1) // 2, np.array(kernel.shape[:2]) // 2
    padded = np.pad(x, [(0, 0), *zip(before, after, strict=True), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape[:2], axis=(1, 2))
    return np.einsum("nhwcij,ijcd->nhwd", windows, kernel)


def mapped_filters(x, kernels, affine):
    """Map a kernel with a LearnedSign's convolutions."""
    filters = np.transpose(x, [3, 0, 1, 2]) / x.std()
    for kernel, (gamma, beta) in zip(kernels[:-1], affine, strict=True):
        filters = convolved(filters, kernel)
        mean, variance = filters.mean(axis=(0, 1, 2)), filters.var(axis=(0, 1, 2))
        filters = np.maximum(gamma * (filters - mean) / np.sqrt(variance + 1e-3) + beta, 0)
    return np.transpose(convolved(filters, kernels[-1]), [1, 2, 3, 0])


def learned_sign(residual):
    def formula(x, kernel_0, kernel_1, kernel_2, gamma_0, gamma_1, beta_0, beta_1):
        x = x.astype(float)
        affine = [(gamma_0, beta_0), (gamma_1, beta_1)]
        mapped = mapped_filters(x, [kernel_0, kernel_1, kernel_2], affine)
        return sign(x + 0.1 * x.std() * mapped if residual else mapped)

    return formula


def contrastive_sign(negatives, **options):
    """Return a row of ContrastiveSign. Its pseudo-gradient is the one of its base, ste_sign."""
    options = {"negatives": negatives, "weight": 0.5, "temperature": 0.2, "embedding": 6, **options}
    lacks = {}
    if isinstance(negatives, kbnn.techniques.MemoryBank):
        needs = "a bank needs sample indices, which the table does not pass; see test_trainer.py"
        lacks = dict.fromkeys(TRAININGS, needs)
    return QuantizerRow(
        f"contrastive_sign_{negatives.source}",
        make=lambda: kbnn.quantizers.ContrastiveSign(lq.quantizers.SteSign(1.3), **options),
        forward=lambda x, **_: sign(x),
        gradient=lambda x, **_: clipped_identity(x),
        roles=("input",),
        alias="contrastive_sign",
        lacks=lacks,
    )


TRAININGS = [
    *("fit", "mixed_float16", "mixed_bfloat16", "jit_compile", "mirrored", "determinism", "bop"),
    *("forward", "gradient"),
]
NOT_ELEMENTWISE = {"gradient": "not elementwise; noisy_supervision/test_learned_sign.py has it"}

QUANTIZERS = [
    QuantizerRow(
        "learned_sign",
        make=lambda: kbnn.quantizers.LearnedSign(
            *((0.2, 0.1), 0.5, "sum", "hard", "bottleneck", "residual"), clip_value=None
        ),
        forward=learned_sign(residual=True),
        gradient=None,
        roles=("kernel",),
        alias="learned_sign",
        lacks=NOT_ELEMENTWISE,
    ),
    QuantizerRow(
        "learned_sign_random",
        make=lambda: kbnn.quantizers.LearnedSign(start="random"),
        forward=learned_sign(residual=False),
        gradient=None,
        roles=("kernel",),
        alias="learned_sign",
        lacks=NOT_ELEMENTWISE,
    ),
    contrastive_sign(kbnn.techniques.SameBatch(), pooling="flatten"),
    contrastive_sign(kbnn.techniques.EmbeddingQueue(20, head_momentum=0.9), normalize=True),
    contrastive_sign(
        kbnn.techniques.MemoryBank(40, 10, momentum=0.25, per_anchor=True, seed=2),
        train_heads=False,
    ),
    QuantizerRow(
        "ste_sign",
        make=lambda: lq.quantizers.SteSign(clip_value=1.3),
        forward=sign,
        gradient=clipped_identity,
        alias="ste_sign",
    ),
    QuantizerRow(
        "smooth_sign",
        make=lambda: kbnn.quantizers.SmoothSign(sharpness=1.5),
        forward=lambda x, sharpness, hard_forward: sign(x),
        training_forward=lambda x, sharpness, hard_forward: np.tanh(sharpness * x),
        gradient=lambda x, sharpness, hard_forward: sharpness / np.cosh(sharpness * x) ** 2,
        alias="smooth_sign",
    ),
    QuantizerRow(
        "smooth_sign_hard_forward",
        make=lambda: kbnn.quantizers.SmoothSign(sharpness=1.5, hard_forward=True),
        forward=lambda x, sharpness, hard_forward: sign(x),
        gradient=lambda x, sharpness, hard_forward: sharpness / np.cosh(sharpness * x) ** 2,
        alias="smooth_sign",
    ),
    QuantizerRow(
        "approx_sign",
        make=lq.quantizers.ApproxSign,
        forward=sign,
        gradient=approx_sign_gradient,
        alias="approx_sign",
    ),
]


def batch_normalization(x, gamma, beta, mean, variance):
    return gamma * (x - mean) / np.sqrt(variance + 1e-3) + beta


def normalized_sign(x, gamma, beta, moving_mean, moving_variance, **_):
    return sign(batch_normalization(x, gamma, beta, moving_mean, moving_variance))


def normalized_smooth_sign(x, gamma, beta, sharpness, **_):
    mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
    return np.tanh(sharpness * batch_normalization(x, gamma, beta, mean, variance))


def thermometer(x):
    thresholds = np.array([-1.5625, -0.6875, 0.1875, 1.0625])
    return sign(x[..., None] - thresholds).reshape(*x.shape[:-1], -1)


def rprelu(x, shift_in, slope, shift_out):
    shifted = x + shift_in
    return np.where(shifted > 0, shifted, slope * shifted) + shift_out


LAYERS = [
    LayerRow(
        "binary_batch_normalization",
        make=lambda: kbnn.layers.BinaryBatchNormalization(
            kbnn.quantizers.SmoothSign(sharpness=1.5), momentum=0.8
        ),
        forward=normalized_sign,
        training_forward=normalized_smooth_sign,
    ),
    LayerRow(
        "learned_shift",
        make=lambda: kbnn.layers.LearnedShift(initializer="ones", regularizer="l2"),
        forward=lambda x, shift: x + shift,
    ),
    LayerRow(
        "threshold_encoding",
        make=lambda: kbnn.layers.ThresholdEncoding(levels=4, low=-2.0, high=1.5),
        forward=thermometer,
        takes_images=True,
    ),
    LayerRow(
        "rprelu",
        make=lambda: kbnn.layers.RPReLU(slope_initializer="ones"),
        forward=rprelu,
    ),
]


def binary_model(quantizer: str = "ste_sign", **quantizers: Any) -> keras.Model:
    """A real stem and one binary convolution, for the bundled sample."""
    signs = {"input_quantizer": quantizer, "kernel_quantizer": quantizer, **quantizers}
    x = image = keras.Input((28, 28, 1), name="image")
    x = keras.layers.Conv2D(8, 5, 4, use_bias=False, name="stem")(x)
    x = keras.layers.BatchNormalization(name="stem_bn")(x)
    x = lq.layers.QuantConv2D(8, 3, kernel_constraint="weight_clip", name="conv", **signs)(x)
    x = keras.layers.BatchNormalization(name="conv_bn")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, keras.layers.Dense(10, "softmax", name="probabilities")(x))


def smooth_model() -> keras.Model:
    return binary_model("smooth_sign")


def learned_model() -> keras.Model:
    return binary_model(kernel_quantizer="learned_sign")


def contrastive_model() -> keras.Model:
    negatives = kbnn.techniques.EmbeddingQueue(count=600)
    return kbnn.techniques.with_contrast(binary_model(), "all", negatives=negatives)


def file_to_write() -> pathlib.Path:
    return pathlib.Path(tempfile.mkdtemp(), "file")


CALLBACKS = [
    CallbackRow(
        "contrast_monitor",
        make=lambda train: [
            kbnn.callbacks.ShuffleEpoch(train),
            kbnn.callbacks.ContrastMonitor(),
        ],
        model=contrastive_model,
    ),
    CallbackRow(
        "learned_sign_monitor",
        make=lambda train: [
            kbnn.callbacks.ShuffleEpoch(train),
            kbnn.callbacks.LearnedSignMonitor(pretrained=binary_model()),
        ],
        model=learned_model,
    ),
    CallbackRow(
        "weight_histograms",
        make=lambda train: [
            kbnn.callbacks.ShuffleEpoch(train),
            kbnn.callbacks.WeightHistograms(file_to_write().with_suffix(".npz")),
        ],
        model=smooth_model,
    ),
    CallbackRow(
        "smooth_validation",
        make=lambda train: [
            kbnn.callbacks.ShuffleEpoch(train),
            kbnn.callbacks.SmoothValidation(train.take(1)),
        ],
        model=smooth_model,
    ),
    CallbackRow(
        "binarization_monitor",
        make=lambda train: [
            kbnn.callbacks.ShuffleEpoch(train),
            kbnn.callbacks.BinarizationMonitor(np.zeros((2, 28, 28, 1), "f")),
        ],
        model=smooth_model,
    ),
    CallbackRow(
        "sharpness_schedule",
        make=lambda train: [
            kbnn.callbacks.ShuffleEpoch(train),
            kbnn.callbacks.SharpnessSchedule(stop=20, quantizers="kernel"),
            kbnn.callbacks.SharpnessSchedule(stop=4, quantizers="input", hard_forward_from=0.5),
        ],
        model=smooth_model,
    ),
    CallbackRow(
        "sharpness_schedule_layer_by_layer",
        make=lambda train: [
            kbnn.callbacks.ShuffleEpoch(train),
            kbnn.callbacks.SharpnessSchedule(
                stop=20, hard_forward_from=0.8, order="layer_by_layer"
            ),
        ],
        model=smooth_model,
    ),
    CallbackRow(
        "shuffle_epoch",
        make=lambda train: [kbnn.callbacks.ShuffleEpoch(train)],
        model=binary_model,
    ),
]

ROWS = by_name([*QUANTIZERS, *LAYERS, *CALLBACKS])
