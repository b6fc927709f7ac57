# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# The releases whose Xen and dom0 the machine can run. What is made for a host is made of that release's own programs: here,
# when this machine runs it, or in a root of it (tests/hosts).
import lzma
import subprocess
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]


class NoHost(Exception):
    """A release that is none of these, or whose root cannot be had here."""


def zstd_decompressed(data):
    return subprocess.run(["zstd", "-dc"], input=data, stdout=subprocess.PIPE, check=True).stdout


@dataclass(frozen=True)
class Compression:
    magic: bytes
    suffix: str
    decompressed: callable


XZ = Compression(b"\xfd7zXZ\0", ".xz", lzma.decompress)
ZSTD = Compression(b"\x28\xb5\x2f\xfd", ".zst", zstd_decompressed)


@dataclass(frozen=True)
class Host:
    name: str
    release: str  # as ID-VERSION_ID in /etc/os-release
    xen: str
    hypervisor_package: str
    kernel_package: str
    xen_tools: str  # where Xen's own programs are
    modules: str  # where the kernel's package has its modules
    module_compression: Compression | None
    kernel_compression: Compression

    @property
    def is_here(self):
        return self == own_host()

    @property
    def build_folder(self):
        """Where everything is built for this host, as this machine sees it."""
        return TOP / "build" if self.is_here else TOP / "build/hosts" / self.name / "build"

    @property
    def folder(self):
        """Its images, and what runs on it leave there."""
        return self.build_folder / "xen"


HOSTS = (
    Host(name="debian-12", release="debian-12", xen="4.17", hypervisor_package="xen-hypervisor-4.17-amd64",
         kernel_package="linux-image-amd64", xen_tools="/usr/lib/xen-4.17/bin", modules="lib/modules",
         module_compression=None, kernel_compression=XZ),
    Host(name="debian-13", release="debian-13", xen="4.20", hypervisor_package="xen-hypervisor-4.20-amd64",
         kernel_package="linux-image-amd64", xen_tools="/usr/lib/xen-4.20/bin", modules="usr/lib/modules",
         module_compression=XZ, kernel_compression=ZSTD),
)
HOST_NAMES = tuple(host.name for host in HOSTS)


def host_named(name):
    return next(host for host in HOSTS if host.name == name)


def own_host():
    """The one that this machine runs."""
    lines = Path("/etc/os-release").read_text().splitlines()
    says = {name: value.strip('"') for name, _, value in (line.partition("=") for line in lines)}
    release = f"{says.get('ID')}-{says.get('VERSION_ID')}"
    for host in HOSTS:
        if host.release == release:
            return host
    raise NoHost(f"this machine runs {release}, and only {' and '.join(HOST_NAMES)} are known")
