# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# Debian's hypervisor, and its kernel for dom0 and the guests: downloaded and unpacked, never installed, because an installed
# one becomes what this machine boots next. Kept until the folder is removed.
import re
import shutil
import subprocess
from pathlib import Path

# How a signed module ends (Linux, include/linux/module_signature.h).
SIGNED = b"~Module signature appended~\n"
SIGNATURE_HEADER_BYTES = 12


class NoPackage(Exception):
    """A package cannot be had."""


class Kernel:
    def __init__(self, host, folder):
        self.folder = Path(folder)
        self.compression = host.module_compression
        self.modules = next((self.folder / host.modules).iterdir()).resolve()
        self.version = self.modules.name
        self.image = self.folder / f"boot/vmlinuz-{self.version}"

    def add_modules(self, tree, names):
        """Copies modules with all that they need, and the tables that modprobe reads."""
        for name in names.split():
            for module in self.load_order(name):
                path = f"/lib/modules/{self.version}/{module.relative_to(self.modules)}"
                content = module.read_bytes()
                if self.compression:  # once here, instead of at each boot
                    path = path.removesuffix(self.compression.suffix)
                    content = self.compression.decompressed(content)
                if not tree.place(path).exists():
                    tree.place(path).write_bytes(without_signature(content))
        for table in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
            tree.add_file(self.modules / table, f"/lib/modules/{self.version}/{table}")
        subprocess.run(["depmod", "-b", tree.top, self.version], check=True)

    def load_order(self, name):
        """The files of a module and of what it needs, in the order in which to load them."""
        shown = subprocess.run(["modprobe", "-d", self.folder, "-S", self.version, "--show-depends", name],
                               check=True, capture_output=True, text=True)
        return [Path(path).resolve() for path in re.findall(r"^insmod (\S+)", shown.stdout, re.MULTILINE)]


def without_signature(module):
    """The bytes of a module as it was before it was signed: a kernel takes its time to verify that, for each one."""
    if not module.endswith(SIGNED):
        return module
    signature_bytes = int.from_bytes(module[-len(SIGNED) - 4:-len(SIGNED)], "big")
    return module[:-(len(SIGNED) + SIGNATURE_HEADER_BYTES + signature_bytes)]


def fetch_kernel(host, folder):
    """The kernel unpacked in `folder`, which is filled when it is not there."""
    if not folder.exists():
        partial = unpacked(newest_kernel(host.kernel_package), folder)
        if host.modules == "usr/lib/modules":  # on a merged /usr, where either name leads
            (partial / "lib").symlink_to("usr/lib")
        subprocess.run(["depmod", "-b", partial, next((partial / host.modules).iterdir()).name], check=True)
        partial.rename(folder)
    return Kernel(host, folder)


def fetch_hypervisor(host, folder):
    """The hypervisor's compressed image, from its package unpacked in `folder`."""
    if not folder.exists():
        unpacked(host.hypervisor_package, folder).rename(folder)
    return next((folder / "boot").glob("xen-*.gz"))


def newest_kernel(package):
    """The one that a package without a version depends on."""
    shown = subprocess.run(["apt-cache", "depends", package], capture_output=True, text=True, check=False)
    names = re.findall(r"Depends: (linux-image-\S+)", shown.stdout)
    if not names:
        raise NoPackage(f"apt knows no package {package}: run apt-get update")
    return names[0]


def unpacked(package, folder):
    """Downloads and unpacks beside `folder`, so that an interrupted download is not taken for a whole one."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    done = subprocess.run(["apt-get", "download", package], cwd=partial, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NoPackage(f"apt-get download {package}: {done.stderr.strip().splitlines()[-1]}; is apt-get update due?")
    archive = next(partial.glob("*.deb"))
    subprocess.run(["dpkg", "-x", archive, partial], check=True)
    archive.unlink()
    return partial
