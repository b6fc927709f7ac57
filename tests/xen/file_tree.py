# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# The root file system of a small Linux, made of this machine's own programs and every library that they load.
import os
import re
import shutil
import subprocess
from pathlib import Path

# As on every Debian from 12 on, where /bin is /usr/bin.
MERGED = {"bin": "usr/bin", "sbin": "usr/sbin", "lib": "usr/lib", "lib64": "usr/lib64"}
SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class MissingProgram(Exception):
    """A program that the image needs is not on this machine."""


class FileTree:
    def __init__(self, top):
        self.top = Path(top)
        for link, target in MERGED.items():
            (self.top / target).mkdir(parents=True, exist_ok=True)
            (self.top / link).symlink_to(target)
        self.add_folders("dev", "proc", "sys", "run", "tmp", "root", "mnt", "etc", "var/log")
        (self.top / "var/run").symlink_to("/run")
        (self.top / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n")
        (self.top / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")

    def add_folders(self, *folders):
        for folder in folders:
            (self.top / folder).mkdir(parents=True, exist_ok=True)

    def place(self, path):
        """Where a path of the new root lies on this machine, its folder made."""
        place = self.top / str(path).lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def add_file(self, source, path, mode=None):
        place = self.place(path)
        if place.is_symlink():
            place.unlink()
        shutil.copy(source, place)
        if mode is not None:
            place.chmod(mode)

    def add_libraries_of(self, program):
        for library in libraries(program):
            if not self.place(library).exists():
                self.add_file(library, library)

    def add_program(self, name, source=None):
        """A program by its name or path, with what it loads; `source` stands in for this machine's."""
        found = shutil.which(name, path=SEARCH_PATH)
        if found is None:
            raise MissingProgram(f"{name} is not on this machine")
        self.add_file(source or found, found, 0o755)
        if source is None:
            self.add_libraries_of(found)

    def add_programs(self, names):
        for name in names.split():
            self.add_program(name)

    def link(self, path, target):
        self.place(path).symlink_to(target)

    def add_busybox(self):
        """busybox for every command that is not there yet."""
        self.add_program("busybox")
        listed = subprocess.run(["busybox", "--list"], check=True, capture_output=True, text=True)
        for applet in listed.stdout.split():
            if not any((self.top / folder / applet).exists() for folder in ("usr/bin", "usr/sbin")):
                self.link(f"/usr/bin/{applet}", "busybox")

    def add_loader_cache(self):
        """As every Debian has one: without, each program that starts looks for its libraries in a dozen folders."""
        self.place("/etc/ld.so.conf").write_text("/usr/lib/x86_64-linux-gnu\n")
        subprocess.run(["ldconfig", "-X", "-r", self.top], check=True, env=dict(os.environ, PATH=SEARCH_PATH))

    def cpio(self, archive):
        """Packs the tree into an initramfs."""
        with open(archive, "wb") as file:
            names = subprocess.run(["find", ".", "-print0"], cwd=self.top, stdout=subprocess.PIPE, check=True)
            subprocess.run(["cpio", "--quiet", "-0", "-o", "-H", "newc", "-R", "0:0"], cwd=self.top, input=names.stdout,
                           stdout=file, check=True)


def libraries(program):
    """The files that the dynamic linker loads for a program; none for a script or a static one."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    missing = re.findall(r"(\S+) => not found", listed.stdout)
    if missing:
        raise MissingProgram(f"{program} needs {', '.join(missing)}")
    return re.findall(r"(/\S+) \(0x", listed.stdout)
