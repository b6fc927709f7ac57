# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# Debian's fio is linked to network storage and RDMA: 80 MiB of libraries, which a guest of 160 MiB has no room for, and
# seconds of an emulated processor to load them. Empty libraries of the same names, versions and symbols take their place;
# an I/O engine that wants the real ones ends fio.
import re
import shutil
import subprocess

from file_tree import libraries

LEFT_OUT = re.compile(r"^lib(gfapi|nbd|ibverbs|rdmacm|rados|rbd|pmem|pmemblk)\.so\.")


def needed(program):
    listed = subprocess.run(["readelf", "-dW", program], check=True, capture_output=True, text=True)
    return re.findall(r"\(NEEDED\).*\[(.+)\]", listed.stdout)


def undefined(program):
    """[(symbol, version or '')] that other files must define."""
    listed = subprocess.run(["nm", "-D", "--undefined-only", program], check=True, capture_output=True, text=True)
    return [(name, version) for name, version in re.findall(r" [Uw] ([^@\s]+)@?@?(\S*)", listed.stdout)]


def defined(library):
    listed = subprocess.run(["nm", "-D", "--defined-only", library], check=True, capture_output=True, text=True)
    return set(re.findall(r" \w ([^@\s]+)", listed.stdout))


def build_stand_in(library, symbols, output):
    """A library of the name `library` whose functions end the program; symbols: [(symbol, version)]."""
    code = "".join(f"void {name}(void) {{ __builtin_trap(); }}\n" for name, _ in symbols)
    versions = {}
    for name, version in symbols:
        if version:
            versions.setdefault(version, []).append(name)
    script = output.with_suffix(".map")
    script.write_text("".join(f"{version} {{ global: {'; '.join(names)}; }};\n" for version, names in versions.items()))
    command = ["gcc", "-shared", "-fPIC", "-nostdlib", "-fno-builtin", "-w", f"-Wl,-soname,{library}", "-x", "c", "-",
               "-o", str(output)]
    if versions:
        command.append(f"-Wl,--version-script={script}")
    subprocess.run(command, input=code, text=True, check=True)
    script.unlink()


def add_slim_fio(tree, scratch):
    """Puts fio into `tree` without its network engines' libraries; `scratch` is an empty folder."""
    fio = shutil.which("fio")
    paths = {path.rsplit("/", 1)[-1]: path for path in libraries(fio)}
    wanted = undefined(fio)
    tree.add_program("fio", source=fio)
    for library in needed(fio):
        if not LEFT_OUT.match(library):
            tree.add_file(paths[library], paths[library])
            tree.add_libraries_of(paths[library])
            continue
        own = defined(paths[library])
        stand_in = scratch / library
        build_stand_in(library, [(name, version) for name, version in wanted if name in own], stand_in)
        tree.add_file(stand_in, paths[library], 0o755)
    tree.add_file("/lib64/ld-linux-x86-64.so.2", "/lib64/ld-linux-x86-64.so.2", 0o755)
