"""A user's folder of checkpoints: the epoch in the names, every file format, and what is refused."""

import h5py
import keras
import numpy
import pytest
from keras.src.legacy.saving import legacy_h5_format

import data
import models
from train import checkpoints


def touch(folder, *names):
    for name in names:
        (folder / name).write_bytes(b"x")
    return checkpoints.Checkpoints(folder)


@pytest.mark.parametrize(
    ("names", "epochs"),
    [
        (["epoch-1", "epoch-2", "epoch-10", *(f"epoch-{n}" for n in range(3, 10))], range(1, 11)),
        (["cifar10_vgg16_007", "cifar10_vgg16_008"], [7, 8]),
        (["weights.01-0.35", "weights.02-0.31", "weights.03-0.310"], [1, 2, 3]),
        (["epoch=2-step=200", "epoch=4-step=400", "epoch=6-step=600"], [2, 4, 6]),
        (["seed3 Epoch 00", "seed3 Epoch 01", "seed3 Epoch 02"], [1, 2, 3]),
        (["5"], [5]),
    ],
)
@pytest.mark.parametrize("ending", checkpoints.ENDINGS)
def test_the_number_in_the_name_is_the_epoch(tmp_path, names, epochs, ending):
    files = touch(tmp_path, *(name + ending for name in names))
    assert files.epochs == list(epochs) and files.last == max(epochs)


def test_a_natural_order_is_not_the_alphabet_s(tmp_path):
    files = touch(tmp_path, *(f"model{number}.keras" for number in range(1, 12)))
    assert [files.files[epoch].name for epoch in (1, 2, 11)] == ["model1.keras", "model2.keras", "model11.keras"]


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ([], "no checkpoints; expected files ending in .weights.h5, .keras, .h5"),
        (["notes.txt"], "no checkpoints"),
        (["epoch-1.keras", "best.keras"], "no number in the name 'best'"),
        (
            ["a1-5.keras", "a2-9.keras"],
            "cannot tell the epoch from names like 'a1-5' and 'a2-9'.*differ: 2, expected 1",
        ),
        (["a-0.5.keras", "a-0.7.keras"], "differ: 0, expected 1"),
        (["1.keras", "1-2.keras"], "cannot tell the epoch"),
        (["epoch-1.keras", "epoch-01.keras"], "epoch-01.keras and epoch-1.keras are both epoch 1"),
        (["1.keras", "2.keras", "4.keras", "7.keras"], "no checkpoint of epoch 3, 5, 6, but of others between 1 and 7"),
        (["1.keras", "2.weights.h5"], "holds 1 .keras and 1 .weights.h5 files; expected one kind"),
    ],
)
def test_names_that_do_not_tell_are_refused(tmp_path, names, sentence):
    with pytest.raises((ValueError, FileNotFoundError), match=sentence) as caught:
        touch(tmp_path, *names)
    assert "\n" not in str(caught.value)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no checkpoints"):
        checkpoints.Checkpoints(tmp_path / "nowhere")


def save(model, path, kind):
    """Epochs 1 and 2 of a model, the second with other weights; returns their fingerprints."""
    prints = {}
    generator = numpy.random.default_rng(0)
    for epoch in (1, 2):
        model.set_weights([generator.random(weight.shape, "float32") for weight in model.get_weights()])
        prints[epoch] = models.fingerprint(model)
        file = path / f"epoch-{epoch}{kind.removeprefix('legacy')}"
        if kind == "legacy.h5":
            with h5py.File(file, "w") as opened:
                legacy_h5_format.save_weights_to_hdf5_group(opened, model)
        elif kind == ".weights.h5":
            model.save_weights(file)
        else:
            model.save(file)
    return prints


@pytest.mark.parametrize("kind", [".weights.h5", ".keras", ".h5", "legacy.h5"])
@pytest.mark.filterwarnings("ignore")
def test_every_format_is_read(tmp_path, small_net, kind):
    small_net.compile("adam", "mse")
    prints = save(small_net, tmp_path, kind)
    folder = checkpoints.Checkpoints(tmp_path)
    model = keras.models.clone_model(small_net)
    for epoch in (2, 1):
        folder.load_weights(model, epoch)
        assert models.fingerprint(model) == prints[epoch]
    if kind in (".keras", ".h5"):
        assert models.fingerprint(folder.final_model()) == prints[2]
    else:
        assert models.fingerprint(folder.final_model(lambda: keras.models.clone_model(small_net))) == prints[2]
        with pytest.raises(ValueError, match="weights without an architecture"):
            folder.final_model()
        (tmp_path / "architecture.json").write_text(small_net.to_json())
        assert models.fingerprint(folder.final_model()) == prints[2]


def test_a_softmax_is_taken_off(tmp_path, small_net, images):
    outputs = keras.layers.Softmax()(small_net.output)
    keras.Model(small_net.input, outputs).save(tmp_path / "epoch-1.keras")
    x = data.to_unit(images[0])
    model = checkpoints.Checkpoints(tmp_path).final_model()
    numpy.testing.assert_array_equal(model(x), small_net(x))


def test_whole_models_are_read_as_models_load_reads_them(tmp_path, small_net, images):
    """Opened, without their softmax, and of the pixels that they were trained on."""
    inputs = keras.Input((12, 12, 2))
    outer = keras.Model(inputs, keras.layers.Softmax()(small_net(keras.layers.Rescaling(1 / 255)(inputs))))
    outer.save(tmp_path / "epoch-1.keras")
    with pytest.raises(ValueError, match="epoch-1.keras: .* divides its images by 255 .*scale=255"):
        checkpoints.Checkpoints(tmp_path).final_model()
    folder = checkpoints.Checkpoints(tmp_path, scale=255)
    model, x = folder.final_model(), data.to_unit(images[0])
    numpy.testing.assert_allclose(model(x), small_net(x), atol=1e-5)
    model.set_weights([0 * weight for weight in model.get_weights()])
    folder.load_weights(model, 1)
    numpy.testing.assert_allclose(model(x), small_net(x), atol=1e-5)


def test_what_images_were_normalised_by_is_loaded_too(tmp_path):
    def build():
        layers = [keras.Input((4, 4, 1)), keras.layers.Normalization(), keras.layers.Flatten(), keras.layers.Dense(3)]
        return keras.Sequential(layers)

    x = numpy.random.default_rng(0).random((9, 4, 4, 1), "float32")
    model = build()
    model.layers[0].adapt(x)
    model.save(tmp_path / "epoch-1.keras")
    fresh = build()
    checkpoints.Checkpoints(tmp_path).load_weights(fresh, 1)
    numpy.testing.assert_array_equal(fresh(x), model(x))
    assert models.fingerprint(fresh) == models.fingerprint(model)


@keras.saving.register_keras_serializable("tests")
class OwnNet(keras.Model):
    """A net whose layers cannot be read off."""

    def __init__(self, **options):
        super().__init__(**options)
        self.dense = keras.layers.Dense(3)

    def call(self, x):
        return self.dense(keras.ops.reshape(x, (-1, 288)))


def test_a_subclassed_model_is_refused_in_one_sentence(tmp_path):
    model = OwnNet()
    model(numpy.zeros((1, 12, 12, 2), "float32"))
    model.save(tmp_path / "epoch-1.keras")
    with pytest.raises(ValueError, match="epoch-1.keras: .*is a subclassed model .OwnNet.") as caught:
        checkpoints.Checkpoints(tmp_path).final_model()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [".weights.h5", ".keras", ".h5"])
@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.9])
@pytest.mark.filterwarnings("ignore")
def test_cut_files_are_named(tmp_path, small_net, kind, keep):
    save(small_net, tmp_path, kind)
    folder = checkpoints.Checkpoints(tmp_path)
    path = folder.files[1]
    whole = path.read_bytes()
    path.write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    with pytest.raises(ValueError, match=path.name) as caught:
        folder.load_weights(small_net, 1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [".weights.h5", ".keras", ".h5"])
@pytest.mark.filterwarnings("ignore")
def test_another_architecture_is_refused(tmp_path, small_net, kind):
    inputs = keras.Input((12, 12, 2))
    other = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(inputs)))
    save(other, tmp_path, kind)
    with pytest.raises(ValueError, match="epoch-1.*cannot be loaded into small"):
        checkpoints.Checkpoints(tmp_path).load_weights(small_net, 1)
    with pytest.raises(ValueError, match="no checkpoint of epoch 9; found 1 to 2"):
        checkpoints.Checkpoints(tmp_path).load_weights(small_net, 9)
