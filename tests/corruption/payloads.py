"""Files of payloads flipped, cut, lengthened, removed, swapped and replaced."""

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from corruption.scene import Scene

Damage = Callable[[Path, Path], None]
"""Given the directory of a payload, and that of another one of the same shape."""

FILES = {"chunk": Path("c/0/0/0"), "description": Path("zarr.json")}


@dataclass(frozen=True, slots=True)
class PayloadDamage:
    """Something done to the files of a payload.

    Parameters
    ----------
    name : str
        What it is.
    damage : callable
        Does it.
    may_be_harmless : bool
        Metadata can change in ways that change no value; then all values have to be right.
    """

    name: str
    damage: Damage
    may_be_harmless: bool = False

    def do(self, scene: Scene, *, is_old: bool) -> None:
        """Do it to a payload of the answer; `is_old`: one from before there were checksums."""
        path = scene.payload("M001", 1, "pixel_gain")
        other = scene.payload("M002", 1, "pixel_gain")
        if is_old:
            for one in (path, other):
                forget_checksum(one)
        self.damage(path, other)


def forget_checksum(payload: Path) -> None:
    """Leave a payload as the first release wrote it."""
    path = payload / FILES["description"]
    found = json.loads(path.read_text(encoding="utf-8"))
    found["attributes"] = {}
    path.write_text(json.dumps(found), encoding="utf-8")


def flipped(file: Path, where: float, bit: int) -> Damage:
    """Flip a bit; `where` goes from 0, the first byte, to 1, the last one."""

    def do(path: Path, _: Path) -> None:
        content = bytearray((path / file).read_bytes())
        content[round(where * (len(content) - 1))] ^= 1 << bit
        (path / file).write_bytes(content)

    return do


def cut(file: Path, share: float, less: int = 0) -> Damage:
    """Cut a file to a share of its length."""

    def do(path: Path, _: Path) -> None:
        target = path / file
        os.truncate(target, int(target.stat().st_size * share) - less)

    return do


def lengthened(file: Path, count: int, byte: bytes) -> Damage:
    """Append bytes."""

    def do(path: Path, _: Path) -> None:
        with (path / file).open("ab") as stream:
            stream.write(byte * count)

    return do


def written(file: Path, content: bytes) -> Damage:
    """Replace the contents of a file."""

    def do(path: Path, _: Path) -> None:
        (path / file).write_bytes(content)

    return do


def edited(key: str, value: object) -> Damage:
    """Replace a value of the description by another one of valid JSON."""

    def do(path: Path, _: Path) -> None:
        target = path / FILES["description"]
        found = json.loads(target.read_text(encoding="utf-8"))
        found[key] = value
        target.write_text(json.dumps(found), encoding="utf-8")

    return do


def swapped(file: Path) -> Damage:
    """Exchange a file, or the whole directory, with that of another payload."""

    def do(path: Path, other: Path) -> None:
        aside = path.with_name("aside")
        (path / file).rename(aside)
        (other / file).rename(path / file)
        aside.rename(other / file)

    return do


def removed(file: Path) -> Damage:
    """Remove a file or a directory."""

    def do(path: Path, _: Path) -> None:
        target = path / file
        if target.is_dir():
            shutil.rmtree(target)
        else:
            target.unlink()

    return do


def replaced(file: Path, make: Callable[[Path, Path], None]) -> Damage:
    """Put something else in the place of a file."""

    def do(path: Path, other: Path) -> None:
        (path / file).unlink()
        make(path / file, other / file)

    return do


def _link(path: Path, other: Path) -> None:
    path.symlink_to(other)


def _dangling(path: Path, other: Path) -> None:
    path.symlink_to(other.with_name("nothing"))


def _loop(path: Path, _: Path) -> None:
    path.symlink_to(path.name)


def _directory(path: Path, _: Path) -> None:
    path.mkdir()


def _pipe(path: Path, _: Path) -> None:
    os.mkfifo(path)


def _all() -> Iterator[PayloadDamage]:
    whole = Path()
    for name, file in FILES.items():
        is_text = name == "description"
        for where in (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0):
            bit = 0 if where < 0.5 else 6
            yield PayloadDamage(
                f"{name}: a bit at {where:.0%} flipped", flipped(file, where, bit), is_text
            )
        for share in (0.0, 0.25, 0.5, 0.9):
            yield PayloadDamage(f"{name}: cut to {share:.0%}", cut(file, share))
        yield PayloadDamage(f"{name}: last byte cut off", cut(file, 1.0, 1))
        for count in (1, 4, 4096):
            yield PayloadDamage(
                f"{name}: {count} zero bytes appended", lengthened(file, count, b"\0")
            )
        yield PayloadDamage(f"{name}: removed", removed(file))
        yield PayloadDamage(f"{name}: swapped with another payload's", swapped(file), is_text)
        for what, make in (
            ("a link to another payload's", _link),
            ("a link to nothing", _dangling),
            ("a link to itself", _loop),
            ("a directory", _directory),
            ("a pipe", _pipe),
        ):
            yield PayloadDamage(f"{name}: replaced by {what}", replaced(file, make), is_text)
    yield PayloadDamage("directory removed", removed(whole))
    yield PayloadDamage("chunk directory removed", removed(Path("c")))
    yield PayloadDamage("directories of two payloads swapped", swapped(whole))
    yield PayloadDamage("chunk: all zero", written(FILES["chunk"], b"\0" * 384))
    for content in (b"{}", b"[]", b"null", b"1", b'{"shape": []}', b"\xff\xfe", b"[" * 10_000):
        yield PayloadDamage(
            f"description: replaced by {content[:20]!r}", written(FILES["description"], content)
        )
    for key, value, may_be_harmless in (
        ("shape", [3, 8, 4], False),
        ("shape", [3, 4, 16], False),
        ("shape", [2**40, 2**20, 2], False),
        ("data_type", "int32", False),
        ("data_type", "float64", False),
        ("zarr_format", 2, False),
        ("codecs", [], False),
        ("codecs", [{"name": "bytes", "configuration": {"endian": "big"}}], False),
        ("fill_value", 1.0, True),
        ("node_type", "group", False),
    ):
        yield PayloadDamage(
            f"description: {key} is {json.dumps(value)}", edited(key, value), may_be_harmless
        )


PAYLOADS = tuple(_all())
"""Every damage to payloads that is tried one by one."""


def sampled(chance: random.Random) -> PayloadDamage:
    """Return a damage at a place of its own."""
    name = chance.choice(sorted(FILES))
    is_text = name == "description"
    where, bit, share = chance.random(), chance.randrange(8), chance.random()
    return chance.choice(
        (
            PayloadDamage(
                f"{name}: bit {bit} at {where:.2%} flipped",
                flipped(FILES[name], where, bit),
                is_text,
            ),
            PayloadDamage(f"{name}: cut to {share:.2%}", cut(FILES[name], share)),
            PayloadDamage(
                f"{name}: some bytes appended",
                lengthened(FILES[name], chance.randrange(1, 5000), b"\1"),
            ),
        )
    )
