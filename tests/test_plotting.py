"""Pictures: what they show is what was to be shown, and what cannot be drawn is refused."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastnn
from fastnn import Perceptron, Sequential, plotting
from fastnn.activations import ActivationFunction
from fastnn.callbacks import LambdaCallback
from fastnn.layers import (
    Activation,
    Dense,
    Dropout,
    Flatten,
    Maxout,
    PReLU,
    Residual,
    UnitNormalization,
)

matplotlib = pytest.importorskip("matplotlib")
pyplot = pytest.importorskip("matplotlib.pyplot")

XOR = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])


def texts(artists):
    return [artist.get_text() for artist in artists]


def drawn(ax):
    """Draw the picture, so that what can only fail then fails."""
    ax.figure.canvas.draw()
    return ax


def small(loss="binary_crossentropy", outputs=1, activation="sigmoid"):
    model = Sequential([Dense(4, "tanh", input_dim=2), Dense(outputs, activation)])
    model.compile("adam", loss)
    return model


def diagnosis():
    model = Sequential(
        [
            Dense(6, "relu", input_dim=4, name="low"),
            Dropout(0.5, name="drop"),
            Dense(5, "tanh", name="middle"),
            Dense(3, "softmax", name="top"),
        ]
    )
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.layers[0].bias = [-1e3, 0, 0, 0, 0, 0]
    rng = np.random.default_rng(0)
    return model.diagnose(rng.normal(size=(30, 4)), rng.integers(0, 3, 30))


# In general

CALLS = {
    "activations": lambda ax: plotting.activations("relu", ax=ax),
    "decision_boundary": lambda ax: plotting.decision_boundary(small(), *XOR, ax=ax),
    "learning_curves": lambda ax: plotting.learning_curves({"loss": [2.0, 1.0]}, ax=ax),
    "weight_histograms": lambda ax: plotting.weight_histograms(small(), ax=ax),
    "network_diagram": lambda ax: plotting.network_diagram(small(), ax=ax),
    "blocks": lambda ax: plotting.network_diagram(small(), detail="blocks", ax=ax),
    "dead_units": lambda ax: plotting.dead_units(diagnosis(), ax=ax),
}


@pytest.mark.parametrize("name", CALLS)
def test_the_axes_given_are_drawn_into_and_returned(name):
    ax = pyplot.figure().subplots()
    assert drawn(CALLS[name](ax)) is ax
    assert len(pyplot.get_fignums()) == 1
    assert ax.has_data() or ax.patches


@pytest.mark.parametrize("name", CALLS)
def test_otherwise_a_figure_is_made(name):
    ax = drawn(CALLS[name](None))
    assert pyplot.get_fignums() == [ax.figure.number]


@pytest.mark.parametrize("name", CALLS)
def test_without_matplotlib_the_extra_is_named(name, monkeypatch):
    for module in [module for module in sys.modules if module.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'matplotlib is needed .* pip install "fastnn\[plot\]"'):
        CALLS[name](None)


def test_it_is_an_attribute_of_the_package():
    assert fastnn.plotting is plotting
    assert {"plotting", "diagnosis", "check_gradients"} <= set(dir(fastnn))
    with pytest.raises(AttributeError, match="no attribute 'ploting'"):
        fastnn.ploting  # noqa: B018


# Activations


def test_activations_and_derivatives_are_drawn():
    ax = plotting.activations(["tanh", "relu"], limits=(-2, 3))
    tanh, slope, relu, step = (line.get_xydata() for line in ax.lines[:4])
    x = np.linspace(-2, 3, 1001)
    assert_allclose(tanh, np.column_stack([x, np.tanh(x)]), atol=1e-12)
    assert_allclose(slope[:, 1], 1 - np.tanh(x) ** 2, atol=1e-12)
    assert_array_equal(relu[:, 1], np.maximum(x, 0))
    assert_array_equal(step[:, 1], x > 0)
    assert texts(ax.get_legend().get_texts()) == ["tanh", "relu"]
    assert ax.lines[0].get_color() == ax.lines[1].get_color() != ax.lines[2].get_color()


def test_one_activation_has_its_derivative_in_the_legend():
    ax = plotting.activations(fastnn.activations.LeakyReLU(0.2))
    assert texts(ax.get_legend().get_texts()) == ["LeakyReLU(negative_slope=0.2)", "derivative"]
    ax = plotting.activations("step", derivative=False)
    assert texts(ax.get_legend().get_texts()) == ["step"]


def test_the_derivative_of_step_is_flat():
    assert_array_equal(plotting.activations("step").lines[1].get_ydata(), 0)


def test_own_activations_are_drawn():
    class Square(ActivationFunction):
        def forward(self, x):
            return x * x

        def backward(self, grad, x, y):
            return 2 * x * grad

    square, slope = plotting.activations(Square()).lines[:2]
    assert_allclose(square.get_ydata(), square.get_xdata() ** 2)
    assert_allclose(slope.get_ydata(), 2 * slope.get_xdata())


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "sparsemax", "glu"])
def test_activations_of_rows_are_refused(name):
    with pytest.raises(ValueError, match="expects functions of a single number, got " + name):
        plotting.activations(name)


def test_bad_limits_and_names():
    with pytest.raises(ValueError, match="limits must be"):
        plotting.activations("relu", limits=(1, -1))
    with pytest.raises(ValueError, match="Unknown activation"):
        plotting.activations("rleu")
    assert pyplot.get_fignums() == []


# Decision boundaries


class Plane:
    """Predicts what a function says."""

    def __init__(self, predict):
        self.predict = predict


def test_a_single_output_is_drawn_with_the_line_where_it_crosses():
    model = Plane(lambda x: x[:, :1])
    ax = drawn(plotting.decision_boundary(model, [[0, 0], [1, 1]], [0, 1], threshold=0.25))
    contour, *samples = ax.collections
    (mesh,) = ax.images
    assert mesh.get_array().shape == (200, 200)
    assert_allclose(np.concatenate(contour.allsegs[0])[:, 0], 0.25, atol=1e-9)
    assert_allclose(np.mean(mesh.get_clim()), 0.25)
    assert [sample.get_offsets().tolist() for sample in samples] == [[[0, 0]], [[1, 1]]]
    assert texts(ax.get_legend().get_texts()) == ["0", "1"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("feature 1", "feature 2")


def test_of_several_outputs_the_largest_wins():
    corners = np.array([[0, 0], [4, 0], [0, 4]])
    model = Plane(lambda x: -((x[:, None] - corners) ** 2).sum(axis=2))
    ax = drawn(plotting.decision_boundary(model, corners, np.eye(3), resolution=50))
    winners = np.asarray(ax.images[0].get_array())
    assert (winners[0, 0], winners[0, -1], winners[-1, 0]) == (0, 1, 2)
    assert texts(ax.get_legend().get_texts()) == ["0", "1", "2"]


def test_labels_are_drawn_as_classes():
    x, y = [[0, 0], [0, 1], [1, 0], [1, 1]], ["off", "off", "off", "on"]
    ax = drawn(plotting.decision_boundary(Perceptron().fit(x, y), x, y, resolution=20))
    winners = np.asarray(ax.images[0].get_array())
    assert (winners[0, 0], winners[-1, -1]) == (0, 1)
    assert texts(ax.get_legend().get_texts()) == ["off", "on"]


def test_a_model_that_says_the_same_everywhere_has_no_line():
    ax = drawn(plotting.decision_boundary(Plane(lambda x: np.ones(len(x))), *XOR))
    assert len(ax.collections) == 2
    ax = drawn(plotting.decision_boundary(Plane(lambda x: np.ones(len(x), int)), *XOR))
    assert len(ax.collections) == 2


@pytest.mark.parametrize(
    ("label", "threshold", "shade"), [(0, 0.5, 0.1), (1, 0.5, 0.9), (-1, 0, 0.1)]
)
def test_one_class_has_the_colour_of_the_outputs_on_its_side(label, threshold, shade):
    model = Sequential([Dense(1, "sigmoid", input_dim=2)])
    x, y = [[0, 0], [1.0, 1]], [label, label]
    ax = drawn(plotting.decision_boundary(model, x, y, threshold=threshold))
    samples = ax.collections[-1]
    assert samples.get_offsets().tolist() == x
    assert_allclose(samples.get_facecolor(), [matplotlib.colormaps["RdBu_r"](shade)])
    assert texts(ax.get_legend().get_texts()) == [f"{label}"]


def test_one_label_has_one_colour():
    model = Plane(lambda x: np.full(len(x), "on"))
    ax = drawn(plotting.decision_boundary(model, [[0, 0], [1, 1]], ["on", "on"], resolution=4))
    (region,), (samples,) = ax.images, ax.collections
    assert_allclose(region.to_rgba(0)[:3], samples.get_facecolor()[0, :3])
    assert texts(ax.get_legend().get_texts()) == ["on"]


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.ones((4, 3)), np.ones(4), r"x of shape \(n, 2\), got \(4, 3\)"),
        (np.ones((0, 2)), np.ones(0), r"x of shape \(n, 2\), got \(0, 2\)"),
        (np.ones((4, 2)), np.ones(3), r"a class for each of 4 samples, got \(3,\)"),
    ],
)
def test_other_shapes_are_refused(x, y, message):
    with pytest.raises(ValueError, match=message):
        plotting.decision_boundary(small(), x, y)


def test_predictions_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="not all finite"):
        plotting.decision_boundary(Plane(lambda x: np.full(len(x), np.nan)), *XOR)


def test_a_threshold_is_a_number():
    with pytest.raises(TypeError, match="threshold must be a number, got 'a'"):
        plotting.decision_boundary(small(), *XOR, threshold="a")


# Films


def frames_of(path):
    with pytest.importorskip("PIL.Image").open(path) as image:
        return image.n_frames


def test_a_film_shows_the_training(tmp_path):
    model, twin, seen = small(), small(), []
    twin.set_weights(model.get_weights())
    path = tmp_path / "xor.gif"
    ax = plotting.animate_decision_boundary(
        model,
        *XOR,
        path,
        epochs=7,
        every=3,
        resolution=20,
        shuffle=False,
        callbacks=LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch)),
    )
    assert frames_of(path) == 4  # before the first epoch, after 3 and 6, and at the end
    assert ax.get_title() == "epoch 7"
    assert seen == list(range(7))
    twin.fit(*XOR, epochs=7, shuffle=False, verbose=0)
    for weights, expected in zip(model.get_weights(), twin.get_weights(), strict=True):
        assert_array_equal(weights, expected)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["xor.gif"]


def test_a_film_is_not_too_long_by_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(plotting.boundaries, "MOST_FRAMES", 3)
    plotting.animate_decision_boundary(small(), *XOR, tmp_path / "a.gif", epochs=7, resolution=4)
    assert frames_of(tmp_path / "a.gif") == 4  # before the first epoch, after 3, 6 and 7


def test_a_film_of_several_classes(tmp_path):
    model = small("sparse_categorical_crossentropy", 3, "softmax")
    x, y = [[0, 0], [1, 0], [0, 1]], [0, 1, 2]
    path, ax = tmp_path / "a.gif", pyplot.figure().subfigures(1, 2)[1].subplots()
    options = {"epochs": 1, "resolution": 9, "ax": ax}
    assert plotting.animate_decision_boundary(model, x, y, str(path), **options) is ax
    assert frames_of(path) == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"every": 0},
        {"fps": 0},
        {"resolution": 1},
        {"threshold": "a"},
        {"threshold": np.nan},
    ],
    ids=str,
)
def test_a_film_is_refused_before_training(wrong, tmp_path):
    model = small()
    before = model.get_weights()
    with pytest.raises((TypeError, ValueError), match=next(iter(wrong))):
        plotting.animate_decision_boundary(model, *XOR, tmp_path / "a.gif", **wrong)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        plotting.animate_decision_boundary(model, *XOR, tmp_path / "none" / "a.gif")
    for weights, expected in zip(model.get_weights(), before, strict=True):
        assert_array_equal(weights, expected)
    assert list(tmp_path.iterdir()) == []


# Learning curves


def test_curves_of_a_fit():
    model = Sequential([Dense(1, input_dim=1)])
    model.compile("sgd", "mse", metrics=["mae"])
    history = model.fit([[1.0], [2.0]], [1, 2], epochs=3, validation_split=0.5, verbose=0)
    ax = drawn(plotting.learning_curves(history))
    training, validation = ax.lines
    assert_array_equal(training.get_xdata(), [1, 2, 3])
    assert_array_equal(training.get_ydata(), history.history["loss"])
    assert_array_equal(validation.get_ydata(), history.history["val_loss"])
    ax = plotting.learning_curves(history.history, "mae")
    assert ax.get_ylabel() == "mae"
    assert_array_equal(ax.lines[0].get_ydata(), history.history["mae"])


def test_a_value_that_is_not_there():
    with pytest.raises(ValueError, match="the history has no 'auc', but loss, mae"):
        plotting.learning_curves({"loss": [1.0], "mae": [2.0]}, "auc")


# Networks


def test_weights_are_counted():
    model = Sequential([Dense(8, input_dim=4, name="low"), Dropout(0.5), Dense(2, name="top")])
    model.layers[0].kernel = np.full((4, 8), -1.0)
    model.layers[2].kernel = np.full((8, 2), 0.5)
    ax = drawn(plotting.weight_histograms(model, bins=4))
    assert texts(ax.get_yticklabels()) == ["top.kernel\nstd 0", "low.kernel\nstd 0"]
    top, low = (patch.get_data() for patch in ax.patches)
    assert_array_equal(top.edges, [-1, -0.5, 0, 0.5, 1])
    assert_allclose(top.values, [0, 0, 0, 0.9])
    assert_allclose(low.values, [1.9, 1, 1, 1])


def test_what_has_no_weights_to_draw():
    with pytest.raises(ValueError, match="has no weights to draw"):
        plotting.weight_histograms(Sequential([Dropout(0.5, input_dim=3)]))
    model = Sequential([Dense(2, input_dim=1, name="low")])
    model.layers[0].kernel = [[np.nan, 1.0]]
    with pytest.raises(ValueError, match=r"low\.kernel has weights that are not finite"):
        plotting.weight_histograms(model)


def test_neurons_and_edges_have_the_colours_of_their_weights():
    model = Sequential([Dense(3, "tanh", input_dim=2, name="a"), Dropout(0.5, name="d"), Dense(1)])
    model.layers[0].kernel = [[1.0, -2.0, 0.0], [0.5, 4.0, -4.0]]
    model.layers[0].bias = [4.0, -4.0, 0.0]
    ax = drawn(plotting.network_diagram(model))
    assert len(ax.patches) == 2 + 3 + 1
    colours = matplotlib.colormaps["RdBu_r"]
    assert_allclose([patch.get_facecolor() for patch in ax.patches[2:5]], colours([1.0, 0, 0.5]))
    edges = ax.collections[0]
    order = np.argsort(np.abs([1.0, -2, 0, 0.5, 4, -4]))
    expected = np.array([1.0, -2, 0, 0.5, 4, -4])[order]
    assert_allclose(edges.get_colors(), colours((expected + 4) / 8), atol=0.01)
    assert len(ax.collections[1].get_segments()) == 3
    assert texts(ax.texts)[:2] == ["input", "a\ntanh\n+ d"]


def stacks():
    wide = [Dense(17, input_dim=2), Dense(1)]
    deep = [Dense(2, input_dim=2) for _ in range(9)]
    images = [Flatten(input_shape=(2, 2)), Dense(2)]
    return {"wide": wide, "deep": deep, "images": images}


@pytest.mark.parametrize("name", stacks())
def test_larger_networks_are_drawn_as_blocks(name):
    model = Sequential(stacks()[name])
    ax = drawn(plotting.network_diagram(model))
    assert len(ax.patches) == 1 + len(model.layers)
    assert texts(ax.texts)[0] == "input"


def untold():
    """Models of which neurons would not tell all, though the width seems to go on."""
    return {
        "residual": [Residual([Dense(3), Dense(3)], input_dim=3)],
        "glu": [Dense(4, "glu", input_dim=2), Dense(1)],
        "maxout": [Dense(2, input_dim=2), Maxout(2)],
        "maxout alone": [Maxout(2, input_dim=2)],
        "no kernel": [UnitNormalization(input_dim=2)],
    }


@pytest.mark.parametrize("name", untold())
def test_what_neurons_do_not_tell_is_drawn_as_blocks(name):
    model = Sequential(untold()[name])
    ax = drawn(plotting.network_diagram(model))
    assert len(ax.patches) == 1 + len(model.layers)
    assert not ax.collections  # edges
    with pytest.raises(ValueError, match="draw this model with detail='blocks'"):
        plotting.network_diagram(model, detail="neurons")


def test_layers_without_a_kernel_go_with_the_neurons_before_them():
    layers = [Dense(3, input_dim=2), UnitNormalization(name="unit"), PReLU(name="slopes")]
    ax = drawn(plotting.network_diagram(Sequential(layers)))
    assert len(ax.patches) == 2 + 3
    assert ax.texts[1].get_text().endswith("\n+ unit\n+ slopes")


def test_blocks_tell_sizes():
    model = Sequential(
        [
            Flatten(input_shape=(28, 28)),
            Dense(64, name="a"),
            Activation("relu", name="activation_9"),
            Dense(10, "softmax", name="top"),
        ]
    )
    shown = texts(plotting.network_diagram(model).texts)
    assert "28 by 28" in shown
    assert "64   50,240 parameters" in shown
    assert {"a (Dense)", "activation_9, relu", "top, softmax (Dense)"} <= set(shown)


def test_the_choice_can_be_made():
    model = Sequential(stacks()["wide"])
    assert len(plotting.network_diagram(model, detail="neurons").patches) == 2 + 17 + 1
    with pytest.raises(ValueError, match="draw this model with detail='blocks'"):
        plotting.network_diagram(Sequential(stacks()["images"]), detail="neurons")
    with pytest.raises(ValueError, match="detail must be 'auto', 'neurons' or 'blocks', got 'x'"):
        plotting.network_diagram(model, detail="x")


# Diagnoses


def test_gradient_flow_shows_the_figures():
    found = diagnosis()
    activations, gradients = axes = plotting.gradient_flow(found)
    drawn(activations)
    assert len(axes) == 2
    assert texts(gradients.get_xticklabels()) == ["low", "drop", "middle", "top"]
    assert_array_equal(activations.lines[0].get_ydata(), [f.outputs.mean for f in found.layers])
    sizes, _, kernels, spreads = gradients.lines
    assert_array_equal(sizes.get_ydata(), [f.output_gradients.mean_abs for f in found.layers])
    trained = [f.weight_gradients["kernel"] for f in found.layers if f.weight_gradients]
    assert_array_equal(kernels.get_xdata(), [0, 2, 3])
    assert_array_equal(kernels.get_ydata(), [gradient.mean_abs for gradient in trained])
    assert_array_equal(spreads.get_ydata(), [gradient.std for gradient in trained])


def test_gradient_flow_draws_into_two_axes():
    given = pyplot.figure().subplots(2, 1)
    assert list(plotting.gradient_flow(diagnosis(), axes=given)) == list(given)
    with pytest.raises(ValueError, match="draws into two Axes, got 1"):
        plotting.gradient_flow(diagnosis(), axes=given[:1])


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e30, np.inf])
def test_gradient_flow_of_extremes(scale):
    model = Sequential([Dense(3, input_dim=2) for _ in range(4)])
    model.compile("sgd", "mse")
    for layer in model.layers:
        layer.kernel = layer.kernel * 0 + scale
    found = model.diagnose(np.ones((3, 2)), np.ones((3, 3)))
    drawn(plotting.gradient_flow(found)[0])


def test_gradient_flow_of_nothing():
    model = Sequential([Flatten(input_shape=(3,))])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="no layers to draw"):
        plotting.gradient_flow(model.diagnose(np.ones((2, 3)), np.ones((2, 3))))


def test_dead_units_are_sorted_and_counted():
    found = diagnosis()
    ax = drawn(plotting.dead_units(found))
    assert texts(ax.get_yticklabels()) == ["low"]
    shares = np.asarray(ax.collections[0].get_array()).ravel()
    assert_array_equal(shares, np.sort(found["low"].off_share)[::-1])
    assert_allclose(ax.collections[0].to_rgba(shares)[0], matplotlib.colors.to_rgba("tab:red"))
    assert ax.collections[0].to_rgba(shares)[1].tolist() != ax.collections[0].to_rgba(1.0)
    assert texts(ax.texts) == ["17% of 6 dead"]


def test_networks_without_such_units():
    model = small()
    with pytest.raises(ValueError, match="no layer of this diagnosis has units that can be off"):
        plotting.dead_units(model.diagnose(*XOR))
