"""What a short job brings home: rows, records, flags and logs of all stages, in a few archives of bounded size."""

import pathlib

from data import release

KEPT = ("row*.json", "run.json", "metrics.csv", "flags-*.h5", "*.log")
PARTS = 8  # most archives


def write(runs: str | pathlib.Path, folder: str | pathlib.Path, *, most: int) -> list[pathlib.Path]:
    """Write <folder>/part-1.zip and so on (data/release.py). Returns the paths.

    runs: folder of all run directories; most: bytes of one archive, before compression
    Raises FileNotFoundError where there is nothing to keep; ValueError where a file is larger than an archive, or where
    more than PARTS archives would be needed.
    """
    runs, folder = pathlib.Path(runs), pathlib.Path(folder)
    paths = sorted(
        {
            path
            for pattern in KEPT
            for path in runs.rglob(pattern)
            if path.is_file() and not _hidden(path.relative_to(runs))
        }
    )
    if not paths:
        raise FileNotFoundError(f"{runs}: no row, record, flags or log in it")
    parts = [[]]
    for path in paths:
        if path.stat().st_size > most:
            raise ValueError(f"{path}: has {path.stat().st_size:,} bytes, expected at most {most:,} an archive")
        if sum(member.stat().st_size for member in parts[-1]) + path.stat().st_size > most:
            parts.append([])
        parts[-1].append(path)
    if len(parts) > PARTS:
        raise ValueError(f"{runs}: its rows and flags fill {len(parts)} archives, expected at most {PARTS}")
    archives = [folder / f"part-{number}.zip" for number in range(1, len(parts) + 1)]
    for path, content in zip(archives, parts, strict=True):
        with release.writing(path, {"runs": [member.relative_to(runs).as_posix() for member in content]}) as add:
            for member in content:
                add(member.relative_to(runs).as_posix(), member)
    return archives


def _hidden(path):
    """Whether a part of a path is hidden, such as a stage that --overwrite is replacing."""
    return any(part.startswith(".") for part in path.parts)
