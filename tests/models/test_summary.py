import larq as lq
import pytest
import tf_keras as keras

import kbnn


@keras.utils.register_keras_serializable(package="tests")
class Heavy(lq.quantizers.SteSign):
    """A kernel quantizer that has weights itself, which no device ever sees."""

    def build(self, input_shape):
        self.ballast = self.add_weight("ballast", (1000,))
        super().build(input_shape)

    @property
    def trainable_weights(self):
        return [self.ballast]


def test_the_summary_is_that_of_what_ships():
    shown = []
    kbnn.models.summary(kbnn.models.vgg_tiny(), print_fn=shown.append)
    assert len(shown) == 2
    (conv_1,) = [line for line in shown[0].splitlines() if line.startswith("| conv_1 ")]
    assert conv_1.split()[1:] == [
        "conv_1",
        "1",
        "(-1,",
        "14,",
        "14,",
        "64)",
        "18432",
        "0",
        "2.25",
        "3612672",
        "0",
        "|",
    ]


def test_weights_of_quantizers_do_not_count():
    plain = kbnn.models.vgg_tiny(width=8)
    heavy = kbnn.requantize(plain, kernel_quantizer=Heavy())
    assert heavy.count_params() > plain.count_params()
    shown = {"plain": [], "heavy": []}
    kbnn.models.summary(plain, print_fn=shown["plain"].append)
    kbnn.models.summary(heavy, print_fn=shown["heavy"].append)
    assert shown["plain"] == shown["heavy"]


def test_a_model_that_cannot_be_frozen():
    with pytest.raises(TypeError, match="subclassed"):
        kbnn.models.summary(type("Own", (keras.Model,), {})())


def test_binary_normalization_counts_as_the_sign_that_it_is():
    macs = []
    for normalization in ("batch", "binary"):
        shown = []
        model = kbnn.models.vgg_tiny(width=8, normalization=normalization)
        kbnn.models.summary(model, print_fn=shown.append)
        macs.append([line for line in shown[1].splitlines() if "MACs" in line])
    assert macs[0] == macs[1]
    assert any("1-bit" in line or "Ratio" in line for line in macs[0])
