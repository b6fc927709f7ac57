# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# The kernel inside a bzImage. Xen and xl take it as it is, and would otherwise decompress it for seconds of an emulated
# processor: dom0's once a boot, a guest's each time that one is created.
#
# Offsets in the header: Linux, Documentation/x86/boot.rst.
import struct

SECTOR = 512
SETUP_SECTORS = 0x1F1
MAGIC = 0x202
VERSION = 0x206
PAYLOAD = 0x248  # offset behind the setup sectors, length
VERSION_WITH_PAYLOAD = 0x208
SIZE_BYTES = 4  # of the content, behind the compressed bytes
ELF = b"\x7fELF"


class NotUnderstood(Exception):
    """The image is no bzImage, or compressed with something else."""


def vmlinux(image, compression):
    """The ELF file in the bytes of a bzImage."""
    if image[MAGIC:MAGIC + 4] != b"HdrS" or struct.unpack_from("<H", image, VERSION)[0] < VERSION_WITH_PAYLOAD:
        raise NotUnderstood("no bzImage with a payload")
    offset, length = struct.unpack_from("<II", image, PAYLOAD)
    offset += ((image[SETUP_SECTORS] or 4) + 1) * SECTOR
    payload = image[offset:offset + length - SIZE_BYTES]
    if not payload.startswith(compression.magic):
        raise NotUnderstood(f"its kernel is no {compression.suffix} (it begins with {payload[:6].hex()})")
    content = compression.decompressed(payload)
    if not content.startswith(ELF):
        raise NotUnderstood("what it holds is no ELF file")
    return content
