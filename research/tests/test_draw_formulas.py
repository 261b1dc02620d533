"""The pictures show the formulas."""

import numpy as np
from typer.testing import CliRunner

from research import draw_formulas


def test_the_command_writes_both_pictures(tmp_path):
    result = CliRunner().invoke(draw_formulas.app, ["--folder", str(tmp_path)])
    assert result.exit_code == 0, result.output
    assert {file.name for file in tmp_path.iterdir()} == {"smooth_signs.png", "noisy_labels.png"}


def test_a_curve_for_each_sharpness():
    values, gradients = draw_formulas.draw_smooth_signs([1.0, 4.0]).axes
    for axes in (values, gradients):
        assert [text.get_text() for text in axes.get_legend().get_texts()] == ["1", "4"]
    x, y = values.lines[1].get_data()
    np.testing.assert_allclose(y, np.tanh(4 * x), atol=1e-6)
    x, slope = gradients.lines[1].get_data()
    np.testing.assert_allclose(slope, 4 / np.cosh(4 * x) ** 2, rtol=1e-4)


def test_the_dot_is_at_the_minimum_of_its_curve():
    (axes,) = draw_formulas.draw_noisy_labels([0.1, 0.25]).axes
    assert len(axes.lines) == 4
    for curve, dot in zip(axes.lines[::2], axes.lines[1::2], strict=True):
        (x,), (least,) = dot.get_data()
        q, loss = curve.get_data()
        assert least <= loss.min()
        assert abs(q[loss.argmin()] - x) < 0.01
