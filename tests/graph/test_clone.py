"""One quantizer argument, one instance for each layer."""

import larq as lq
import pytest

from kbnn.quantizers import clone


@pytest.mark.parametrize(
    "given",
    [
        lq.quantizers.SteSign(clip_value=0.7),
        lq.quantizers.serialize(lq.quantizers.SteSign(clip_value=0.7)),
    ],
)
def test_instances_and_configs_are_copied_under_the_new_name(given):
    copy = clone(given, name="conv_1_input_quantizer")
    assert copy is not given
    assert (type(copy), copy.clip_value) == (lq.quantizers.SteSign, 0.7)
    assert copy.name == "conv_1_input_quantizer"


def test_aliases_functions_and_none():
    assert isinstance(clone("approx_sign", name="q"), lq.quantizers.ApproxSign)
    assert clone(lq.math.sign, name="q") is lq.math.sign
    assert clone(None, name="q") is None


def test_bad_arguments():
    with pytest.raises(ValueError, match="no_such_sign"):
        clone("no_such_sign", name="q")
    for bad in (3, lq.quantizers.SteSign):
        with pytest.raises(TypeError, match=r"instance of a Larq quantizer.*Received: quantizer="):
            clone(bad, name="q")
