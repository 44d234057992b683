"""A cache's file `resume`, as the tests need it (storage/resume.h has its form)."""
import os

from harness import read_all

BITS_AT = 44  # before them: magic, version, info-hash, piece length, total size


def crc32c(data):
    """RFC 3720 appendix B.4."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def is_whole(data):
    return data[:8] == b"swarmfsR" and crc32c(data[:-4]) == int.from_bytes(data[-4:], "big")


def claims_in(data, count):
    """Indices of the pieces that the bytes of a resume file claim, of `count`."""
    bits = data[BITS_AT:]
    return [k for k in range(count) if bits[k // 8] >> (7 - k % 8) & 1]


def claimed_pieces(path, count):
    return claims_in(read_all(path), count) if os.path.exists(path) else []
