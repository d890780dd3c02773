"""Fifty hostile files of every format that is read: one sentence each, in bounded time and memory, and nothing else.

The files of a format are read in one process of little memory, which tells of every file that Python opens and every
program it starts. FAULTS_SEED says which files; pytest -m faults tests/faults -s prints a tally.
"""

import gzip
import io
import json
import os
import pathlib
import pickle
import random
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib

import h5py
import keras
import numpy
import PIL.Image
import pytest
import scipy.io

from data import files

pytestmark = pytest.mark.faults
SEED, COUNT = int(os.environ.get("FAULTS_SEED", "0")), 50
READER = pathlib.Path(__file__).with_name("read_hostile.py")
HUGE = (1 << 31, (1 << 32) - 1, 1 << 40, (1 << 62) + 7, 10**6, 60_000, 0, -1, -(1 << 40))


class Call:
    """Pickles as a call that leaves a canary."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def spoiled(whole, chance):
    """A valid file with some bytes changed, a part repeated, or its end cut."""
    content = bytearray(whole)
    for _ in range(chance.choice((1, 1, 3, 10))):
        content[chance.randrange(min(len(content), chance.choice((64, 600, 10**9))))] = chance.randrange(256)
    if chance.random() < 0.3:
        start = chance.randrange(len(content))
        content[start:start] = content[start : start + chance.randrange(1, 5000)] * chance.randrange(1, 50)
    return bytes(content[: chance.randrange(len(content))] if chance.random() < 0.2 else content)


def pickles(chance, secret):
    call = chance.choice([Call(os.system, f"touch {secret}.ran"), Call(eval, "1"), Call(open, f"{secret}.ran", "w")])
    kind = chance.randrange(5)
    if kind == 0:
        return pickle.dumps({b"data": call, b"labels": [call]}, chance.randrange(5))
    if kind == 1:
        depth = chance.choice((10, 60, 10**5, 10**6))
        wrap = chance.choice([b"\x85", b"h\x00h\x00\x86q\x00", b"]", b"("])
        return b"\x80\x02})q\x00" + wrap * depth + chance.choice([b"K\x00s.", b".", b"a.", b"t."])
    if kind == 2:
        opcodes = b")]}NK(t\x85\x86\x87aesu.0q\x00h\x00R\x81b\x94\x8e\x96"
        return b"\x80\x04" + bytes(chance.choice(opcodes) for _ in range(500))
    array = numpy.zeros((3, 3072), chance.choice(["u1", "f8", "O", "U9"]))
    return spoiled(pickle.dumps({b"data": array, b"labels": [1, 2, chance.choice((3, 10**30, 2.5))]}, 2), chance)


def tars(chance, secret):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for _ in range(chance.randrange(1, 4)):
            names = ("cifar-10-batches-py/data_batch_1", "../x", "/x", str(secret), "a" * 300)
            member = tarfile.TarInfo(chance.choice(names))
            member.type = chance.choice([b"0", b"1", b"2", b"3", b"6", b"5", b"L", b"x", b"g", b"S", b"K"])
            member.linkname, member.size = str(secret), chance.choice((0, 512, 10**8))
            if member.type == b"x":
                member.pax_headers = {"size": str(chance.choice(HUGE))}
            archive.addfile(member, io.BytesIO(bytes(member.size)) if member.isreg() else None)
    content = bytearray(stream.getvalue())
    if chance.random() < 0.6:
        content[124:136] = struct.pack(">Bxxxq", chance.choice((0x80, 0xFF)), chance.choice(HUGE))
        check = sum(content[:148]) + 8 * 32 + sum(content[156:512])
        content[148:156] = b"%06o\0 " % check
    packed = gzip.compress(bytes(content), 6)
    return spoiled(packed, chance) if chance.random() < 0.4 else packed


def gzs(chance, secret):
    shape = [chance.choice((1, 28, *(size & 0xFFFFFFFF for size in HUGE))) for _ in range(3)]
    shape = chance.choice((shape, [shape[0], 28, 28]))
    body = bytes(chance.choice((0, 784, 10**7, 2 * 10**8)))
    packed = gzip.compress(bytes([0, 0, 8, 3]) + struct.pack(">3I", *shape) + body, 1)
    return spoiled(packed, chance) if chance.random() < 0.4 else packed


def mats(chance, secret):
    stream = io.BytesIO()
    if chance.random() < 0.4:
        scipy.io.savemat(stream, {"X": numpy.zeros((32, 32, 3, 4), "u1"), "y": numpy.ones((4, 1))}, do_compression=True)
        return spoiled(stream.getvalue(), chance)
    count = chance.choice((4, 10**6, 2 * 10**8))
    value = struct.pack("<f", chance.choice((float("nan"), 300.7, -5, 1e30))) * 4 + bytes(count)
    parts = struct.pack("<IIII", 6, 8, chance.choice((6, 7, 9, 14, 1)), 0)
    parts += struct.pack("<II4i", 5, 16, *(chance.choice((1, 4, count, -1)) for _ in range(4)))
    parts += struct.pack("<II8s", 1, 1, chance.choice((b"X", b"y", b"z")))
    parts += struct.pack("<II", chance.choice((2, 7, 9)), len(value)) + value
    packed = zlib.compress(struct.pack("<II", 14, chance.choice((len(parts), 2**31))) + parts, 1)
    element = struct.pack("<II", 15, len(packed)) + packed
    return b"MATLAB 5.0".ljust(124) + b"\0\1IM" + element * chance.choice((1, 2, 100))


def pngs(chance, secret):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    other = [
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(ran) (w) file\n", b"%PDF-1.4\n",
        b"GIF89a" + bytes(99), b"P6 " + b"9" * chance.randrange(1, 12) + b" 9 255\n", b"BM" + bytes(99),
        b"II*\0" + struct.pack("<IH", 8, 60_000) + bytes(99), b"8BPS" + bytes(99),
        b"\xff\xd8\xff\xe1\xff\xff" + bytes(99),
    ]  # fmt: skip
    if chance.random() < 0.3:
        return chance.choice(other)
    sides = [chance.choice((1, 9, 9_000, 60_000, 2**31 - 1)) for _ in range(2)]
    header = struct.pack(">IIBBBBB", *sides, chance.choice((1, 8, 16)), chance.choice((0, 2, 3, 4, 6)), 0, 0, 0)
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8), 1)) if chance.random() < 0.1 else b""
    body = chunk(b"IHDR", header) + text + chunk(b"IDAT", zlib.compress(bytes(10**6))) + chunk(b"IEND", b"")
    stream = io.BytesIO()
    PIL.Image.new("RGB", (40, 40)).save(stream, chance.choice(("PNG", "JPEG", "TIFF", "WEBP", "BMP", "PPM")))
    return b"\x89PNG\r\n\x1a\n" + body if chance.random() < 0.5 else spoiled(stream.getvalue(), chance)


def net(path):
    inputs = keras.Input((6, 6, 1))
    outputs = keras.layers.Dense(4)(keras.layers.Flatten()(keras.layers.Conv2D(2, 3, activation="relu")(inputs)))
    keras.Model(inputs, outputs).save(path)
    return path.read_bytes()


CLASSES = ("Lambda", "TFSMLayer", "TorchModuleWrapper", "StringLookup", "Functional", "__lambda__", "function")
MODULES = ("builtins", "os", "keras.utils", "keras.src.saving", "subprocess", "keras.config", None)


def edited(value, chance, secret):
    """JSON of a configuration with one of its values replaced by an invalid one."""
    places = []

    def visit(container):
        for key, each in container.items() if isinstance(container, dict) else enumerate(container):
            places.append((container, key))
            if isinstance(each, dict | list):
                visit(each)

    visit(value)
    container, key = chance.choice(places)
    call = {"module": chance.choice(MODULES), "class_name": chance.choice(CLASSES), "registered_name": None}
    call["config"] = chance.choice(("system", {"filepath": str(secret)}, {"vocabulary": str(secret)}, "get_file"))
    named = [place for place in places if place[1] in ("class_name", "module")]
    if chance.random() < 0.3:
        container, key = chance.choice(named)
        container[key] = chance.choice(CLASSES if key == "class_name" else MODULES)
    else:
        container[key] = chance.choice((*HUGE, float("nan"), None, "x" * 10**5, "NESTED", call, str(secret), [], {}))
    depth = chance.choice((10, 900, 100_000))
    return json.dumps(value).replace('"NESTED"', "[" * depth + "]" * depth)


def kerases(chance, secret, whole):
    if chance.random() < 0.25:
        return spoiled(whole, chance)
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts["config.json"] = edited(json.loads(parts["config.json"]), chance, secret).encode()
    kind = chance.randrange(6)
    if kind == 0:
        parts["config.json"] += b" " * 2 * 10**8
    elif kind == 1:
        parts["model.weights.h5"] = h5s(chance, secret, parts["model.weights.h5"])
    elif kind == 2:
        parts[chance.choice(("../x", str(secret), "assets/x", "model.weights.npz"))] = bytes(9)
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return stream.getvalue()


def h5s(chance, secret, whole):
    """A model or artefact with a part that is in another file, huge, or changed."""
    stream = io.BytesIO(whole)
    with h5py.File(stream, "r+") as file:
        names = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        name, kind = chance.choice(names), chance.randrange(7)
        shape, dtype = file[name].shape, file[name].dtype
        if kind < 5:
            del file[name]
        if kind == 0:
            file[name] = h5py.ExternalLink(str(secret), "/x")
        elif kind == 1:
            file[name] = h5py.SoftLink(chance.choice(("/", f"/{name}", "/x")))
        elif kind == 2:
            file.create_dataset(name, shape, dtype, external=[(str(secret), 0, h5py.h5f.UNLIMITED)])
        elif kind == 3:
            layout = h5py.VirtualLayout(shape, dtype)
            layout[...] = h5py.VirtualSource(str(secret), "x", shape)
            file.create_virtual_dataset(name, layout)
        elif kind == 4:
            size = (abs(chance.choice(HUGE)) + 1, 7)
            file.create_dataset(name, size, dtype, chunks=(1, 7), fillvalue=1)
        elif "model_config" in file.attrs and kind == 5:
            text = edited(json.loads(file.attrs["model_config"]), chance, secret)
            file.attrs["model_config"] = text if len(text) < 60_000 else "{"
    return stream.getvalue() if kind < 6 else spoiled(stream.getvalue(), chance)


def jsons(chance, secret):
    text = chance.choice(
        ['{"a":' * (depth := chance.choice((10, 10**5, 10**6))) + "}" * depth, "[" * 10**6, "1" * 10**6, '{"a": 1e999}',
         '{"method": NaN}', "-Infinity", '"\\ud800"', '{"a": 1, ' * 10**4, "[" + "0," * 10**6 + "0]", "\0", "nul", ""]
    )  # fmt: skip
    return spoiled(text.encode() + b" ", chance) if chance.random() < 0.5 else text.encode()


MAKERS = {"pickle": pickles, "tar.gz": tars, "gz": gzs, "mat": mats, "png": pngs, "keras": kerases, "h5": h5s}
MAKERS |= {"json": jsons}


@pytest.mark.parametrize("ending", MAKERS)
def test_hostile_files(ending, tally, tmp_path):
    chance, folder, secret = random.Random(f"{SEED} {ending}"), tmp_path / "files", tmp_path / "secret"
    folder.mkdir()
    with h5py.File(secret, "w") as file:
        file["x"] = numpy.zeros(9)
    os.utime(secret, (10**9, 10**9))
    whole = {"keras": net(tmp_path / "net.keras"), "h5": net(tmp_path / "net.h5")}
    files.save_artefact(tmp_path / "a.h5", "numbers", {"x": numpy.arange(9.0), "y": numpy.ones((3, 4))}, {"fact": 1})
    for number in range(COUNT):
        originals = [whole[ending]] if ending in whole else []
        if ending == "h5" and number % 2:
            originals = [(tmp_path / "a.h5").read_bytes()]
        (folder / f"{number:02d}.{ending}").write_bytes(MAKERS[ending](chance, secret, *originals))
    before = sorted(map(str, tmp_path.rglob("*")))
    line = [sys.executable, str(READER), ending, str(folder)]
    completed = subprocess.run(line, capture_output=True, text=True, timeout=500, check=False, cwd=folder)
    assert completed.returncode == 0, completed.stderr[-2000:]
    *reports, last = map(json.loads, completed.stdout.splitlines())
    assert len(reports) == COUNT and last["opened"] == [], last
    assert sorted(map(str, tmp_path.rglob("*"))) == before and os.stat(secret).st_atime == 10**9
    for report in reports:
        outcome, message = report["outcome"], report["said"]
        assert outcome in ("ValueError", "OSError", "read"), report
        assert outcome == "read" or (report["name"] in message and "\n" not in message and len(message) < 900), report
        tally[f"{ending}: {'read, harmless' if outcome == 'read' else 'refused in one sentence'}"] += 1
    assert sum(report["outcome"] != "read" for report in reports) > COUNT / 2
    slowest = max(report["seconds"] for report in reports)
    tally[f"{ending}: slowest took {slowest:.1f} s, memory {last['memory']} MiB"] += 1
