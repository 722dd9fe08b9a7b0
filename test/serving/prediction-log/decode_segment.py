"""Decodes a segment by docs/reference/prediction-log.md with the standard library alone: an independent reader.

Prints one JSON document per row, then one with what was dropped and how many bytes at the end are no whole block.
"""

import json
import math
import struct
import sys
import uuid
import zlib

WIDTHS = {"id": 16, "u16": 2, "u32": 4, "f32": 4, "f64": 8, "i64": 8, "dict8": 1, "enum8": 1}
FORMATS = {"u16": "<H", "u32": "<I", "f32": "<f", "f64": "<d", "i64": "<q", "dict8": "<B", "enum8": "<B"}
NONE = {"u16": 0xFFFF, "u32": 0xFFFFFFFF, "i64": -(2**63)}


def align(size):
    return (size + 7) // 8 * 8


def value(column, raw, dictionary):
    kind = column["type"]
    if kind == "id":
        if raw[:12] == bytes(12):
            return dictionary[struct.unpack("<I", raw[12:])[0]]
        return str(uuid.UUID(bytes=raw))
    number = struct.unpack(FORMATS[kind], raw)[0]
    if kind == "dict8":
        return dictionary[number] if number != 0xFF else None
    if kind == "enum8":
        return column["values"][number] if number != 0xFF else None
    if not column["nullable"]:
        return number
    if kind in ("f32", "f64"):
        return None if math.isnan(number) else number
    return None if number == NONE[kind] else number


def decode(data):
    assert data[:8] == b"SLIPWLOG", "magic"
    version, flags, size, schema_crc, prefix_crc = struct.unpack("<HHIII", data[8:24])
    assert (version, flags) == (1, 0), "format"
    assert zlib.crc32(data[:20]) == prefix_crc, "prefix"
    text = data[24 : 24 + size]
    assert zlib.crc32(text) == schema_crc, "schema"
    columns = json.loads(text)["columns"]
    position = 24 + align(size)
    dropped = 0
    while position < len(data):
        header = data[position : position + 48]
        if len(header) < 48 or header[:4] != b"BLK1":
            break
        length, rows, dictionary_size = struct.unpack("<III", header[4:16])
        _first, _last = struct.unpack("<dd", header[16:32])
        _number, lost, _reserved, crc = struct.unpack("<IIII", header[32:48])
        block = data[position : position + length]
        if len(block) < length or zlib.crc32(block[48:], zlib.crc32(block[:44])) != crc:
            break
        offset = 48
        parts = []
        for column in columns:
            width = WIDTHS[column["type"]]
            parts.append([block[offset + row * width : offset + (row + 1) * width] for row in range(rows)])
            offset += align(rows * width)
        dictionaries = json.loads(block[offset : offset + dictionary_size])
        for row in range(rows):
            yield {
                column["role"] + "." + column["name"]: value(
                    column, part[row], dictionaries.get(column["name"], []) if column["role"] == "fixed" else []
                )
                for column, part in zip(columns, parts)
            }
        dropped += lost
        position += length
    yield {"dropped": dropped, "ignored": len(data) - position}


with open(sys.argv[1], "rb") as file:
    for row in decode(file.read()):
        print(json.dumps(row))
