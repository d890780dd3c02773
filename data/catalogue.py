"""DATASETS: the published facts about each data set, its files, and its reader."""

import dataclasses
import functools
from collections.abc import Callable

from data import cifar, digits, idx, stl10, svhn, tracks
from data.sources import File, Sources


@dataclasses.dataclass(frozen=True)
class Entry:
    """One data set.

    classes: names of labels 0, 1, ...
    shape: (H, W, C).
    counts: numbers of training and test images.
    read: {file name: path} -> ``(x_train, y_train, x_test, y_test)``, from some readers with a dictionary of further
        fields of Dataset.
    sources: the published files (None: data that comes with a package, or in `folders`).
    folders: for images in one directory a class, the subfolders that may have these; `read` then takes their path.
    """

    title: str
    classes: tuple
    shape: tuple
    counts: tuple
    citation: str
    homepage: str
    read: Callable
    sources: Sources | None = None
    folders: tuple = ()


def _files(base, digests):
    """A File for every name in `digests` (name -> MD5), at the address `base` (None: not downloaded one by one)."""
    return tuple(File(name, md5, base and base + name) for name, md5 in digests.items())


def _idx(base, gzipped, loose):
    """The four files of MNIST or Fashion-MNIST, gzipped and unpacked: alternatives of Sources.

    gzipped, loose: MD5s in the order of idx.FILES; those of the gzipped files are published, the others of their
    content.
    """
    unpacked = [[idx.unpacked(name, dotted=dotted) for name in idx.FILES] for dotted in (False, True)]
    alternatives = (base, idx.FILES, gzipped), *((None, names, loose) for names in unpacked)
    return tuple(_files(place, dict(zip(names, digests, strict=True))) for place, names, digests in alternatives)


DIGITS = tuple("0123456789")
STL_OBJECTS = tuple("airplane bird car cat deer dog horse monkey ship truck".split())
OBJECTS = tuple("airplane automobile bird cat deer dog frog horse ship truck".split())
CLOTHES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
FINE_OBJECTS = tuple(
    """apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
    camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup
    dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower
    leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid
    otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray
    road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
    sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
    wardrobe whale willow_tree wolf woman worm""".split()
)

DATASETS = {
    "digits": Entry(
        title="Optical digits of scikit-learn, enlarged",
        classes=DIGITS,
        shape=(28, 28, 1),
        counts=(1438, 359),
        citation="Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI 1998",
        homepage="https://archive.ics.uci.edu/dataset/80",
        read=digits.read,
    ),
    "mnist": Entry(
        title="MNIST",
        classes=DIGITS,
        shape=(28, 28, 1),
        counts=(60000, 10000),
        citation="LeCun et al., Gradient-Based Learning Applied to Document Recognition, 1998",
        homepage="http://yann.lecun.com/exdb/mnist/",
        read=idx.read,
        sources=Sources(
            folders=("mnist", "MNIST", "MNIST/raw", "raw"),
            alternatives=_idx(
                "https://ossci-datasets.s3.amazonaws.com/mnist/",
                (
                    "f68b3c2dcbeaaa9fbdd348bbdeb94873",
                    "d53e105ee54ea40749a09fcbcd1e9432",
                    "9fb629c4189551a2d022fa330f9573f3",
                    "ec29112dd5afa0611ce80d1b7f02629c",
                ),
                (
                    "6bbc9ace898e44ae57da46a324031adb",
                    "a25bea736e30d166cdddb491f175f624",
                    "2646ac647ad5339dbf082846283269ea",
                    "27ae3e4e09519cfbb04c329615203637",
                ),
            ),
        ),
    ),
    "fashion_mnist": Entry(
        title="Fashion-MNIST",
        classes=CLOTHES,
        shape=(28, 28, 1),
        counts=(60000, 10000),
        citation="Xiao, Rasul and Vollgraf, Fashion-MNIST, 2017, arXiv:1708.07747",
        homepage="https://github.com/zalandoresearch/fashion-mnist",
        read=idx.read,
        sources=Sources(
            folders=("fashion_mnist", "fashion-mnist", "FashionMNIST", "FashionMNIST/raw", "raw"),
            alternatives=_idx(
                "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
                (
                    "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                    "25c81989df183df01b3e8a0aad5dffbe",
                    "bef4ecab320f06d8554ea6380940ec79",
                    "bb300cfdad3c16e7a12a480ee83cd310",
                ),
                (
                    "f4a8712d7a061bf5bd6d2ca38dc4d50a",
                    "9018921c3c673c538a1fc5bad174d6f9",
                    "8181f5470baa50b63fa0f6fddb340f0a",
                    "15d484375f8d13e6eb1aabb0c3f46965",
                ),
            ),
        ),
    ),
    "cifar10": Entry(
        title="CIFAR-10",
        classes=OBJECTS,
        shape=(32, 32, 3),
        counts=(50000, 10000),
        citation="Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
        homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
        read=functools.partial(cifar.read, layout=cifar.CIFAR10),
        sources=Sources(
            folders=(
                "cifar10",
                "cifar-10-batches-py",
                "cifar10/cifar-10-batches-py",
                "cifar-10-batches-py-target/cifar-10-batches-py",
            ),
            alternatives=(
                _files(
                    None,
                    {
                        "data_batch_1": "c99cafc152244af753f735de768cd75f",
                        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
                        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
                        "data_batch_4": "634d18415352ddfa80567beed471001a",
                        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
                        "test_batch": "40351d587109b95175f43aff81a1287e",
                    },
                ),
                _files(
                    "https://www.cs.toronto.edu/~kriz/",
                    {cifar.CIFAR10.archive: "c58f30108f718f92721af3b95e74349a"},
                ),
            ),
        ),
    ),
    "cifar100": Entry(
        title="CIFAR-100, fine labels",
        classes=FINE_OBJECTS,
        shape=(32, 32, 3),
        counts=(50000, 10000),
        citation="Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009",
        homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
        read=functools.partial(cifar.read, layout=cifar.CIFAR100),
        sources=Sources(
            folders=(
                "cifar100",
                "cifar-100-python",
                "cifar100/cifar-100-python",
                "cifar-100-python-target/cifar-100-python",
            ),
            alternatives=(
                _files(
                    None,
                    {
                        "train": "16019d7e3df5f24257cddd939b257f8d",
                        "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
                    },
                ),
                _files(
                    "https://www.cs.toronto.edu/~kriz/",
                    {cifar.CIFAR100.archive: "eb9058c3a382ffc7106e4002c42a8d85"},
                ),
            ),
        ),
    ),
    "svhn": Entry(
        title="SVHN, cropped digits",
        classes=DIGITS,
        shape=(32, 32, 3),
        counts=(73257, 26032),
        citation="Netzer et al., Reading Digits in Natural Images with Unsupervised Feature Learning, 2011",
        homepage="http://ufldl.stanford.edu/housenumbers/",
        read=svhn.read,
        sources=Sources(
            folders=("svhn",),
            alternatives=(
                _files(
                    "http://ufldl.stanford.edu/housenumbers/",
                    {
                        svhn.TRAIN: "e26dedcc434d2e4c54c9b2d4a06d8373",
                        svhn.TEST: "eb5a983be6a315427106f1b164d9cef3",
                    },
                ),
            ),
        ),
    ),
    "stl10": Entry(
        title="STL-10, labelled images",
        classes=STL_OBJECTS,
        shape=(96, 96, 3),
        counts=(5000, 8000),
        citation="Coates, Ng and Lee, An Analysis of Single-Layer Networks in Unsupervised Feature Learning, 2011",
        homepage="https://cs.stanford.edu/~acoates/stl10/",
        read=stl10.read,
        sources=Sources(
            folders=("stl10", "stl10_binary", "stl10/stl10_binary"),
            alternatives=(
                _files(
                    None,
                    {
                        "train_X.bin": "918c2871b30a85fa023e0c44e0bee87f",
                        "train_y.bin": "5a34089d4802c674881badbb80307741",
                        "test_X.bin": "7f263ba9f9e0b06b93213547f721ac82",
                        "test_y.bin": "36f9794fa4beb8a2c72628de14fa638e",
                    },
                ),
                _files(
                    "http://ai.stanford.edu/~acoates/stl10/",
                    {stl10.ARCHIVE: "91f7769df0f17e558f3565bffb0c7dfb"},
                ),
            ),
        ),
    ),
    "gtsrb": Entry(
        title="GTSRB, official training images",
        classes=tracks.SIGNS,
        shape=(48, 48, 3),
        counts=(35_288, 3_921),
        citation="Stallkamp, Schlipsing, Salmen and Igel, Man vs. Computer, Neural Networks 2012",
        homepage="https://benchmark.ini.rub.de/gtsrb_dataset.html",
        read=tracks.gtsrb,
        folders=("gtsrb", "GTSRB/Final_Training/Images", "gtsrb/GTSRB/Final_Training/Images"),
    ),
    "intel": Entry(
        title="Intel image classification",
        classes=tracks.SCENES,
        shape=(48, 48, 3),
        counts=(14_034, 3_000),
        citation="Intel image classification, data set of Analytics Vidhya, 2018",
        homepage="https://www.kaggle.com/datasets/puneet6060/intel-image-classification",
        read=tracks.intel,
        folders=("intel", "intel-image-classification"),
    ),
}
