"""scripts/guided_retraining/rank.py: a saved net, a folder of images, the CSV of the order; what it refuses."""

import csv

import keras
import numpy
import PIL.Image
import pytest

import data
import models
from adv import guided


@pytest.fixture
def folder(tmp_path):
    """A saved softmax net of the digits, and ten images in and below the folder "new"."""
    layers = keras.layers
    hidden = [layers.AveragePooling2D(4), layers.Flatten(), layers.Dense(12, activation="relu")]
    model = keras.Sequential([keras.Input((28, 28, 1)), *hidden, layers.Dense(10, activation="softmax")])
    model.save(tmp_path / "mine.keras")
    images = data.load("digits").x_test[:10]
    (tmp_path / "new" / "more").mkdir(parents=True)
    for number, image in enumerate(images):
        PIL.Image.fromarray(image[..., 0]).save(tmp_path / "new" / ("more" if number > 6 else ".") / f"{number}.png")
    return tmp_path


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_the_csv_has_the_files_in_the_order_of_the_library(folder, call):
    completed = call(
        "guided_retraining/rank", "--weights", "mine.keras", "--images", "folder:new", "--dataset", "digits"
    )
    assert completed.code == 0 and "rank: 10 images by dsa" in completed.out, completed.err
    rows = rows_of(folder / "new-dsa.csv")
    names = sorted(f"more/{n}.png" if n > 6 else f"{n}.png" for n in range(10))
    images = numpy.stack([data.load("digits").x_test[int(name.rpartition("/")[2][:-4])] for name in names])
    dataset = data.load("digits")
    order, scores = guided.rank(models.load(folder / "mine.keras"), dataset.x_train, dataset.y_train, images)
    assert [row["file"] for row in rows] == [names[row] for row in order]
    assert [float(row["score"]) for row in rows] == scores[order].tolist()
    assert [row["place"] for row in rows] == [str(place) for place in range(1, 11)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--images", "folder:none"], "none: no such folder"),
        (["--images", "new"], "expected folder:<path>"),
        (["--images", "folder:new", "--metric", "lsa"], "lsa compares with training images"),
        (["--images", "folder:new", "--metric", "be-st"], "be-st"),
        (["--images", "folder:new@20x20"], "images have shape (10, 20, 20, 1)"),
    ],
)
def test_what_it_refuses(folder, call, options, words):
    refused = call("guided_retraining/rank", "--weights", "mine.keras", *options)
    assert refused.code == 2 and words in refused.err and refused.err.count("\n") == 1, refused.err


def test_without_training_images_deepgini_orders(folder, call):
    completed = call(
        "guided_retraining/rank", "--weights", "mine.keras", "--images", "folder:new", "--out", "labels.csv"
    )
    assert (
        completed.code == 0 and "10 images by deepgini" in completed.out and len(rows_of(folder / "labels.csv")) == 10
    )
    PIL.Image.new("RGB", (28, 28), (255, 0, 0)).save(folder / "new" / "red.png")
    refused = call("guided_retraining/rank", "--weights", "mine.keras", "--images", "folder:new")
    assert refused.code == 2 and "red.png: a coloured image, expected 1 channel" in refused.err
