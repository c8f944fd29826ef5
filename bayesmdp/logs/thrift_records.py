"""Records in the compact protocol of Thrift, in which Parquet files say what they hold.

A record is a sequence of fields, each a number and a value; a byte of 0 ends it. What the numbers mean is not written,
so that fields which a reader does not know are read like any other. A large file has tens of thousands of records, so
short numbers and texts are read where they are met, without a call.
"""

from __future__ import annotations

import struct
from typing import Any

__all__ = ["Damaged", "read_record"]

TRUE, FALSE, BYTE, SHORT, LONG, DOUBLE, BINARY, LIST, SET, MAP, RECORD, IDENTIFIER = (
    1,
    2,
    3,
    4,
    6,
    7,
    8,
    9,
    10,
    11,
    12,
    13,
)
"""Types of values; whole numbers of 16, 32 and 64 bits are types 4 to 6, and are written alike."""

LONGEST = 10
"""Bytes in which a number of 64 bits is written, seven bits in each."""


class Damaged(ValueError):
    """A file is not what it should be; says where."""


def read_record(data: bytes) -> tuple[dict[int, Any], int]:
    """Read the record at the beginning of some bytes.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    dict of int to value
        Values by the numbers of their fields: bool, int, float, bytes, records, and lists of such, in which keys and
        values of a map follow each other.
    int
        Bytes that the record takes.

    Raises
    ------
    Damaged
        If there is none, or its end is missing.

    Examples
    --------
    >>> read_record(bytes([0x15, 0x50, 0x18, 1, 97, 0]))
    ({1: 40, 2: b'a'}, 6)
    """
    try:
        return _record(data, 0)
    except (IndexError, struct.error, RecursionError):
        raise Damaged("a record of which the end is missing") from None


def _record(data: bytes, at: int) -> tuple[dict[int, Any], int]:
    fields: dict[int, Any] = {}
    number = 0
    while head := data[at]:
        kind, at = head & 15, at + 1
        if head > 15:
            number += head >> 4
        else:
            number, at = _whole(data, at)
        if SHORT <= kind <= LONG:
            value, at = data[at], at + 1
            if value > 127:
                more, at = _unsigned(data, at)
                value = value & 127 | more << 7
            fields[number] = (value >> 1) ^ -(value & 1)
        elif kind == BINARY and data[at] < 128:
            begin = at + 1
            at = begin + data[at]
            fields[number] = data[begin:at]
        elif kind <= FALSE:
            fields[number] = kind == TRUE
        elif kind == RECORD:
            fields[number], at = _record(data, at)
        else:
            fields[number], at = _value(data, at, kind)
    return fields, at + 1


def _value(data: bytes, at: int, kind: int) -> tuple[Any, int]:
    if kind == RECORD:
        return _record(data, at)
    if SHORT <= kind <= LONG:
        return _whole(data, at)
    if kind == BINARY:
        size, at = _unsigned(data, at)
        return data[at : at + size], at + size
    if kind in (LIST, SET):
        size, kind = data[at] >> 4, data[at] & 15
        size, at = _unsigned(data, at + 1) if size == 15 else (size, at + 1)
        return _values(data, at, [kind] * min(size, len(data)))
    if kind == MAP:
        size, at = _unsigned(data, at)
        return _values(data, at + 1, [data[at] >> 4, data[at] & 15] * min(size, len(data))) if size else ([], at)
    if kind in (TRUE, FALSE, BYTE):
        return data[at], at + 1
    if kind == DOUBLE:
        return struct.unpack_from("<d", data, at)[0], at + 8
    if kind == IDENTIFIER:
        return data[at : at + 16], at + 16
    raise Damaged(f"a record with a value of type {kind}, which there is not")


def _values(data: bytes, at: int, kinds: list[int]) -> tuple[list[Any], int]:
    values = []
    for kind in kinds:
        value, at = _value(data, at, kind)
        values.append(value)
    return values, at


def _whole(data: bytes, at: int) -> tuple[int, int]:
    """A number with a sign, which is its last bit."""
    number, at = _unsigned(data, at)
    return (number >> 1) ^ -(number & 1), at


def _unsigned(data: bytes, at: int) -> tuple[int, int]:
    number, place = 0, 0
    while (byte := data[at]) > 127:
        if place == 7 * LONGEST:
            raise Damaged("a record with a number of more than 64 bits")
        number |= (byte & 127) << place
        place, at = place + 7, at + 1
    return number | byte << place, at + 1
