#!/usr/bin/python3
"""Make seeds for the fuzz targets.

Usage: seeds.py PROTOCOL.md RECORDED OUT

From the examples of PROTOCOL.md and from what record.c wrote down in the folder RECORDED:
each message, and short runs of them, into OUT/TARGET/ under the hash of its bytes.
"""
import hashlib
import pathlib
import re
import sys

import msgpack

MESSAGE_MAX = 2048  # longer ones say no more, and take longer
RUN_MAX = 400
SHAPE_BYTES = 48
STEP_RAW = 13  # session/program.h


def keep(folder, data):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


def messages(stream):
    """The whole messages at the beginning of a stream."""
    at = 0
    unpacker = msgpack.Unpacker(raw=True, strict_map_key=False, max_buffer_size=0)
    unpacker.feed(stream)
    while True:
        try:
            unpacker.skip()
        except Exception:  # the end, or bytes that a test made up
            return
        yield stream[at:unpacker.tell()]
        at = unpacker.tell()


def shape(message):
    """What tells one message from those like it: how it begins, numbers aside."""
    return re.sub(rb"[^A-Za-z]+", b" ", message[3:SHAPE_BYTES]) + b"%d" % len(message).bit_length()


def keep_request(out, message):
    keep(out / "request", message)
    keep(out / "scanner", b"\x00\x01" + message)
    if len(message) < 256:
        keep(out / "session", bytes([STEP_RAW, 0, len(message), 0]) + message)


def keep_answer(out, message):
    keep(out / "answer", b"\x0c" + message)
    keep(out / "scanner", b"\x01\x02" + message)


def keep_stream(out, stream, keep_one, seen):
    run = b""
    for message in messages(stream):
        if len(message) <= MESSAGE_MAX and shape(message) not in seen:
            seen.add(shape(message))
            keep_one(out, message)
        if len(run) + len(message) <= RUN_MAX:
            run += message
    if run and shape(run) not in seen:
        seen.add(shape(run))
        keep_one(out, run)


def main():
    protocol, recorded, out = map(pathlib.Path, sys.argv[1:4])
    sides = {"in": (keep_request, set()), "out": (keep_answer, set())}
    text = protocol.read_text()
    for side, block in re.findall(r"^(Client|Broker): .*\n```hex\n(.*?)```", text, re.M | re.S):
        keep_one, seen = sides["in" if side == "Client" else "out"]
        keep_stream(out, bytes.fromhex(re.sub(r"\s", "", block)), keep_one, seen)
    for path in sorted(recorded.glob("*.*")):
        keep_one, seen = sides[path.suffix[1:]]
        keep_stream(out, path.read_bytes()[:1 << 20], keep_one, seen)
    for keep_one, seen in sides.values():
        print(f"seeds: {len(seen)} {keep_one.__name__[5:]}s")


if __name__ == "__main__":
    sys.exit(main())
