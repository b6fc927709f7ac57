# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# Debian's kernel for dom0 and the guests: downloaded and unpacked, never installed, kept until the folder is removed.
import re
import shutil
import subprocess
from pathlib import Path

PACKAGE = "linux-image-amd64"


class NoKernel(Exception):
    """The kernel package cannot be had."""


class Kernel:
    def __init__(self, folder):
        self.folder = Path(folder)
        self.version = next((self.folder / "lib/modules").iterdir()).name
        self.image = self.folder / f"boot/vmlinuz-{self.version}"

    def add_modules(self, tree, names):
        """Copies modules with all that they need, and the tables that modprobe reads."""
        for name in names.split():
            for module in self.load_order(name):
                path = f"/lib/modules/{self.version}/{module.relative_to(self.folder / 'lib/modules' / self.version)}"
                if not tree.place(path).exists():
                    tree.add_file(module, path)
        for table in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
            tree.add_file(self.folder / "lib/modules" / self.version / table, f"/lib/modules/{self.version}/{table}")
        subprocess.run(["depmod", "-b", tree.top, self.version], check=True)

    def load_order(self, name):
        """The files of a module and of what it needs, in the order in which to load them."""
        shown = subprocess.run(["modprobe", "-d", self.folder, "-S", self.version, "--show-depends", name],
                               check=True, capture_output=True, text=True)
        return [Path(path).resolve() for path in re.findall(r"^insmod (\S+)", shown.stdout, re.MULTILINE)]


def fetch_kernel(folder):
    """The kernel unpacked in `folder`, which is filled when it is not there."""
    if not folder.exists():
        partial = folder.with_name(folder.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        package = newest_package()
        download(package, partial)
        subprocess.run(["dpkg", "-x", next(partial.glob("*.deb")), partial], check=True)
        for archive in partial.glob("*.deb"):
            archive.unlink()
        subprocess.run(["depmod", "-b", partial, next((partial / "lib/modules").iterdir()).name], check=True)
        partial.rename(folder)
    return Kernel(folder)


def newest_package():
    shown = subprocess.run(["apt-cache", "depends", PACKAGE], capture_output=True, text=True, check=False)
    names = re.findall(r"Depends: (linux-image-\S+)", shown.stdout)
    if not names:
        raise NoKernel(f"apt knows no package {PACKAGE}: run apt-get update")
    return names[0]


def download(package, folder):
    done = subprocess.run(["apt-get", "download", package], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NoKernel(f"apt-get download {package}: {done.stderr.strip().splitlines()[-1]}; is apt-get update due?")
