"""`Sequential.diagnose`: figures that can be worked out by hand, and what is said of them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastnn import Sequential, activations
from fastnn.initializers import RandomNormal
from fastnn.layers import Activation, Dense, Dropout, Flatten, Residual
from fastnn.reference import dropout

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 4))
LABELS = RNG.integers(0, 3, size=40)


def compiled(*stack, loss="sparse_categorical_crossentropy", **options):
    model = Sequential(list(stack), **options)
    model.compile("sgd", loss)
    return model


def deep(activation, initializer="glorot_uniform", depth=10):
    hidden = [
        Dense(20, activation, kernel_initializer=initializer, name=f"hidden_{i}")
        for i in range(depth)
    ]
    model = Sequential([*hidden, Dense(3, "softmax", name="top")])
    model.build((None, 4))
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model


def spread(values):
    return values.mean(), values.std(), np.abs(values).mean()


def figures(found):
    return found.mean, found.std, found.mean_abs


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_figures_are_those_of_a_step_by_hand(engine):
    model = compiled(
        Dense(5, "tanh", input_dim=4, name="low"),
        Dense(3, name="top"),
        Activation("softmax", name="end"),
        dtype="float64",
        engine=engine,
    )
    w, b, v, c = model.get_weights()
    h = np.tanh(X @ w + b)
    z = h @ v + c
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    dz = p - np.eye(3)[LABELS]
    dh = dz @ v.T
    da = dh * (1 - h * h)

    found = model.diagnose(X, LABELS)
    assert (found.samples, found.model) == (40, model.name)
    assert found.loss == pytest.approx(-np.log(p[np.arange(40), LABELS]).mean())
    assert [layer.name for layer in found.layers] == ["low", "top", "end"]
    assert [layer.activation for layer in found.layers] == ["tanh", None, "softmax"]
    assert_allclose(figures(found["low"].outputs), spread(h), atol=1e-14)
    assert_allclose(figures(found["low"].output_gradients), spread(dh), atol=1e-14)
    assert_allclose(figures(found["low"].weights["kernel"]), spread(w))
    assert_allclose(figures(found["low"].weight_gradients["kernel"]), spread(X.T @ da / 40))
    assert_allclose(figures(found["low"].weight_gradients["bias"]), spread(da.mean(axis=0)))
    assert_allclose(figures(found["top"].outputs), spread(z), atol=1e-14)
    for name in ("top", "end"):  # the loss is taken from the logits
        assert_allclose(figures(found[name].output_gradients), spread(dz), atol=1e-14)
    assert_allclose(found["low"].saturated_share, np.mean(np.abs(h) > 0.98, axis=0))
    assert found["end"].off_share is found["low"].off_share is found["top"].off_share is None


def test_an_activation_after_a_dense_layer_has_a_row_of_its_own():
    one = compiled(Dense(5, "relu", input_dim=4), Dense(3, "softmax"))
    two = compiled(Dense(5, input_dim=4), Activation("relu", name="relu"), Dense(3, "softmax"))
    two.set_weights(one.get_weights())
    whole, parts = one.diagnose(X, LABELS), two.diagnose(X, LABELS)
    assert whole.loss == parts.loss
    assert_array_equal(parts["relu"].off_share, whole.layers[0].off_share)
    assert figures(parts["relu"].outputs) == figures(whole.layers[0].outputs)
    assert parts.layers[0].off_share is None


def test_a_block_has_one_row_and_its_weights_the_names_of_its_parts():
    block = Residual([Dense(5, "relu", name="a"), Dense(4, name="b")], name="block")
    model = compiled(Dense(4, input_dim=4, name="low"), block, Dense(3, "softmax", name="top"))
    found = model.diagnose(X, LABELS)
    assert [layer.name for layer in found.layers] == ["low", "block", "top"]
    assert [*found["block"].weights] == ["a.kernel", "a.bias", "b.kernel", "b.bias"]
    assert (found["block"].units, found["block"].activation) == (4, "relu")
    assert found["block"].off_share.shape == (5,)


def test_layers_without_ops_have_no_row():
    model = compiled(Flatten(input_shape=(2, 2)), Dropout(0.0), Dense(3, "softmax", name="top"))
    found = model.diagnose(X.reshape(40, 2, 2), LABELS)
    assert [layer.name for layer in found.layers] == ["top"]


def test_dropout_is_that_of_the_first_step():
    model = compiled(Dropout(0.5, seed=3, input_dim=4, name="drop"), Dense(3, "softmax"))
    outputs = model.diagnose(X, LABELS)["drop"].outputs
    x = X.astype(np.float32).astype(np.float64)
    assert_allclose(figures(outputs), spread(dropout(x, 0.5, 3, 0)))


def test_sample_weights_count():
    model = compiled(Dense(3, "softmax", input_dim=4))
    weights = np.arange(40) % 2
    found = model.diagnose(X, LABELS, sample_weight=weights)
    half = model.diagnose(X[1::2], LABELS[1::2])
    assert found.loss == pytest.approx(half.loss / 2)


# Units that are off


def test_share_of_samples_on_which_a_relu_is_off():
    model = compiled(Dense(3, "relu", input_dim=1, name="units"), Dense(1), loss="mse")
    model.layers[0].kernel = [[1.0, -1.0, 0.0]]
    found = model.diagnose([[-2.0], [-1.0], [0.0], [3.0]], np.zeros(4))["units"]
    assert_array_equal(found.off_share, [0.75, 0.5, 1.0])
    assert found.dead_share == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("names", "off", "saturated"),
    [
        (["relu", "relu6", "hard_silu", "threshold", "soft_shrink"], (4,), None),
        (["sigmoid", "tanh", "hard_sigmoid", "hard_tanh", "softsign"], None, (4,)),
        (["leaky_relu", "elu", "selu", "silu", "gelu", "softplus", "exponential"], None, None),
        (["mish", "celu", "squareplus", "tanh_shrink", "log_sigmoid"], None, None),
        (["linear", "softmax", "log_softmax", "sparsemax"], None, None),
    ],
)
def test_which_activations_can_be_off_or_saturated(names, off, saturated):
    for name in names:
        model = compiled(Dense(4, name, input_dim=4), Dense(1), loss="mse")
        layer = model.diagnose(X, np.zeros(40)).layers[0]
        shapes = [getattr(s, "shape", None) for s in (layer.off_share, layer.saturated_share)]
        assert shapes == [off, saturated], name


def test_own_activations_have_no_such_shares():
    class Mine(activations.ActivationFunction):
        def forward(self, x):
            return np.maximum(x, 0)

        def backward(self, grad, x, y):
            return grad * (x > 0)

    model = compiled(Dense(4, Mine(), input_dim=4), Dense(1), loss="mse")
    layer = model.diagnose(X, np.zeros(40)).layers[0]
    assert (layer.activation, layer.off_share, layer.dead_share) == ("Mine", None, None)


# Words


def test_dead_units_are_found_and_cures_named():
    model = compiled(Dense(8, "relu", input_dim=4, name="hidden"), Dense(3, "softmax"))
    assert model.diagnose(X, LABELS).findings == ()
    model.layers[0].bias = np.repeat([-100.0, 0.0], 4)
    (finding,) = model.diagnose(X, LABELS).findings
    assert finding.startswith("hidden: 50% of units are dead on these data; try leaky_relu, elu")


def test_layers_of_one_kind_of_trouble_share_a_line():
    model = compiled(
        Dense(4, "relu", input_dim=4, name="a"), Dense(4, "relu", name="b"), Dense(3, "softmax")
    )
    for layer in model.layers[:2]:
        layer.bias = [-100.0, -100.0, 100.0, 100.0]
    (finding,) = model.diagnose(X, LABELS).findings
    assert finding.startswith("a: 50%, b: 50% of units are dead")


def test_ten_sigmoid_layers_vanish_and_ten_relus_do_not():
    vanishing = deep("sigmoid").diagnose(X, LABELS)
    assert [layer.flow for layer in vanishing.layers[:3]] == ["vanishing"] * 3
    assert vanishing.layers[-1].flow is None
    (finding,) = vanishing.findings
    assert finding.startswith("gradients vanish: those at hidden_0 are ")
    assert finding.endswith("times those at top; try relu with he_normal, or fewer layers")
    flows = {layer.flow for layer in deep("relu", "he_normal").diagnose(X, LABELS).layers}
    assert flows == {None}


def test_gradients_stop_at_a_dead_layer():
    model = deep("relu", "he_normal", depth=3)
    model.get_layer("hidden_1").bias = np.full(20, -100.0)
    first = model.diagnose(X, LABELS).findings[0]
    assert first == (
        "gradients vanish: those at hidden_0 are 0.0e+00 times those at top; none gets past "
        "hidden_1, all of whose units are dead"
    )


def test_large_weights_explode():
    found = deep("relu", RandomNormal(stddev=3.0)).diagnose(X, LABELS)
    assert found.layers[0].flow == "exploding"
    assert found.findings[0].startswith("gradients explode: those at hidden_0 are ")


def test_small_weights_vanish_without_blame_for_the_activation():
    found = deep("gelu", RandomNormal(stddev=0.01)).diagnose(X, LABELS)
    assert "try larger initial weights" in found.findings[0]


def test_saturation_is_found_in_hidden_layers_only():
    model = compiled(
        Dense(20, "tanh", input_dim=4, name="hidden"),
        Dense(1, "sigmoid", name="top"),
        loss="binary_crossentropy",
    )
    model.set_weights([w * 100 for w in model.get_weights()])
    findings = model.diagnose(X, LABELS > 0).findings
    saturated = [finding for finding in findings if "saturated" in finding]
    assert len(saturated) == 1
    assert saturated[0].startswith("hidden: ")


def test_overflow_is_found():
    model = compiled(Dense(4, "exponential", input_dim=4, name="a"), Dense(1), loss="mse")
    model.layers[0].kernel = np.full((4, 4), 1e4)
    found = model.diagnose(np.abs(X), np.zeros(40))
    assert found.findings[0].startswith("a: its outputs are not finite")
    assert found["a"].flow == "exploding"


def test_nothing_to_learn():
    model = compiled(Dense(1, input_dim=4), loss="mse")
    found = model.diagnose(np.zeros((3, 4)), np.zeros(3))
    assert found.findings == (
        "the gradient of the loss is zero: there is nothing to learn from these data",
    )
    assert found.layers[0].flow is None


def test_it_reads_well():
    model = compiled(
        Dense(5, "relu", input_dim=4, name="low"), Dense(3, "softmax", name="top"), name="small"
    )
    found = model.diagnose(X, LABELS)
    lines = str(found).splitlines()
    assert lines[0].startswith("Diagnosis of small on 40 samples, loss ")
    assert lines[4].startswith("low (relu) ")
    assert lines[4].endswith("  5, 0% dead")
    assert lines[5].startswith("top (softmax) ")
    assert lines[-1] == "- nothing conspicuous"
    assert max(map(len, lines)) < 100
    assert repr(found) == "<Diagnosis of small: 2 layers, 0 findings>"
    with pytest.raises(KeyError, match=r"no layer is called 'middle'.*low, top"):
        found["middle"]


# The model


def test_the_model_stays_as_it_is():
    model = compiled(Dense(5, "relu", input_dim=4), Dropout(0.5), Dense(3, "softmax"))
    model.fit(X, LABELS, verbose=0)
    before, twin = model.get_weights(), Sequential.from_config(model.get_config())
    twin.set_weights(before)
    expected, iterations = model.predict(X, verbose=0), model.optimizer.iterations
    model.diagnose(X, LABELS)
    for old, new in zip(before, model.get_weights(), strict=True):
        assert_array_equal(old, new)
    assert_array_equal(model.predict(X, verbose=0), expected)
    assert model.optimizer.iterations == iterations


def test_what_training_refuses_is_refused():
    with pytest.raises(RuntimeError, match="diagnose needs a compiled model"):
        Sequential([Dense(3, input_dim=4)]).diagnose(X, LABELS)
    with pytest.raises(ValueError, match="does not know the shape of its input"):
        compiled(Dense(3)).diagnose(X, LABELS)
    with pytest.raises(ValueError, match="'step' has no gradient"):
        compiled(Dense(3, "step", input_dim=4)).diagnose(X, LABELS)
    with pytest.raises(ValueError, match=r"the model expects x of shape \(n, 4\)"):
        compiled(Dense(3, input_dim=4)).diagnose(X[:, :2], LABELS)
