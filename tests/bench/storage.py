# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# What the measured files lie on.
import contextlib
import os
import shutil
import subprocess
import sys

MIB = 1 << 20
GIB = 1 << 30


class StorageError(Exception):
    """Why there is nothing to measure on, for a person."""


def written_file(path, size):
    """A file of `size` bytes without holes, so that no side allocates blocks while it is measured. Returns its path."""
    if path.exists() and path.stat().st_size == size and path.stat().st_blocks * 512 >= size:
        return path
    print(f"writing {path}", file=sys.stderr)
    block = os.urandom(MIB)
    with open(path, "wb") as file:
        for _ in range(size // MIB):
            file.write(block)
        file.flush()
        os.fsync(file.fileno())
        # Cached pages would have to be dropped by every direct write, ours and fio's.
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return path


@contextlib.contextmanager
def written_file_system(directory, size):
    """The folder of a new ext4 of which every block has been written before, of `size` bytes, in a file in `directory`.

    A disk that is thin itself, as a virtual machine's or a logical volume in a thin pool, allocates when a block is
    first written, and where the file system discards freed blocks that is after every deletion. First writes would
    measure that disk's allocator; blocks that it has already cost the same whether a guest's write is the first or not.

    Needs root. Without, or where no loop device is to be had, the folder is `directory` itself, and a line says so."""
    backing = directory / "file-system.img"
    mounted = directory / "file-system"
    try:
        if os.geteuid() != 0:
            raise StorageError("only root can mount one")
        if shutil.disk_usage(directory).free < size + GIB:
            raise StorageError(f"{directory} has no {size // GIB} GiB free")
        backing.unlink(missing_ok=True)
        written_file(backing, size)
        loop = called("losetup", "--direct-io=on", "--show", "--find", backing).strip()
    except StorageError as reason:
        backing.unlink(missing_ok=True)
        print(f"not on a file system of its own, first writes include what the disk's own allocation takes: {reason}",
              file=sys.stderr)
        yield directory
        return
    try:
        called("mkfs.ext4", "-q", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0", loop)
        mounted.mkdir(exist_ok=True)
        called("mount", "-o", "nodiscard", loop, mounted)
        try:
            yield mounted
        finally:
            called("umount", mounted)
            mounted.rmdir()
    finally:
        called("losetup", "--detach", loop)
        backing.unlink()


def called(*command):
    """A program's standard output. Errors: StorageError with its standard error."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except OSError as error:
        raise StorageError(str(error)) from error
    if done.returncode != 0:
        raise StorageError(f"{command[0]}: {done.stderr.strip()}")
    return done.stdout
