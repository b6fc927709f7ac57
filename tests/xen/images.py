# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# What the emulated machine boots: the hypervisor, dom0's initramfs and root disk, the guests' initramfs, empty data
# disks. All but the last are kept in the host's folder and made again only when something that went into them has changed.
import gzip
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from file_tree import FileTree
from packages import fetch_hypervisor, fetch_kernel
from slim_fio import add_slim_fio
from vmlinux import vmlinux

HERE = Path(__file__).resolve().parent
DATA_BYTES = 5 << 30
SLOW_BYTES = 1 << 30
ROOT_BYTES = 512 << 20

BOOT_MODULES = "virtio_pci virtio_blk ext4 crc32c_generic"
DOM0_MODULES = BOOT_MODULES + """ virtio_console 9p 9pnet_virtio loop
    xen-evtchn xen-gntdev xen-gntalloc xen-privcmd xenfs xen-blkback xen-blkfront"""
GUEST_MODULES = "xen-blkfront ext4 crc32c_generic"

GUEST_PROGRAMS = """bash mke2fs mkfs.ext4 e2fsck resize2fs tune2fs dumpe2fs blkdiscard fstrim blockdev sha256sum cmp timeout
    dd stat flock"""
DOM0_PROGRAMS = GUEST_PROGRAMS + """ cp mv rm ln cat ls mkdir chmod chown touch date head tail sort uniq tr cut wc seq
    sleep tee env mktemp nproc readlink realpath od diff md5sum sync truncate df du id uname basename dirname tty
    sed grep awk find xargs losetup mount umount setsid fincore taskset prlimit lsblk ps pgrep pkill pidof kill strace
    debugfs qemu-img qemu-io modprobe insmod rmmod lsmod jq xenstore gzip cpio tar fallocate"""
XEN_PROGRAMS = "xl xenstored xenconsoled xenconsole xen-init-dom0 libxl-save-helper lsevtchn xenstore-control xentop"


class Images:
    """Paths of what a host boots. Nothing is made before build()."""

    def __init__(self, host):
        self.host = host
        folder = self.folder = host.folder
        self.xen = folder / "xen"
        self.vmlinux = folder / "vmlinux"
        self.boot = folder / "boot.cpio"
        self.root = folder / "root.img"
        self.guest = folder / "guest.cpio"

    def build(self, report):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.kernel = fetch_kernel(self.host, self.folder / "kernel")
        self.hypervisor = fetch_hypervisor(self.host, self.folder / "hypervisor")
        stamp = self.folder / "images.key"
        key = self.key()
        if not stamp.exists() or stamp.read_text() != key:
            report("making the images of dom0 and the guests")
            stamp.unlink(missing_ok=True)
            with tempfile.TemporaryDirectory(dir=self.folder) as scratch:
                self.xen.write_bytes(gzip.decompress(self.hypervisor.read_bytes()))
                self.vmlinux.write_bytes(vmlinux(self.kernel.image.read_bytes(), self.host.kernel_compression))
                self.build_guest(Path(scratch))
                self.build_boot(Path(scratch))
                self.build_root(Path(scratch))
            stamp.write_text(key)

    def new_disks(self, number):
        """Empty file systems, of which dom0 sees the second as slow; `number` tells them from those of other machines."""
        disks = self.folder / f"data-{number}.img", self.folder / f"slow-{number}.img"
        for disk, size_bytes in zip(disks, (DATA_BYTES, SLOW_BYTES)):
            make_ext4(disk, size_bytes)
        return disks

    def key(self):
        """Changes with everything that the images are made of."""
        inputs = hashlib.sha256(self.kernel.version.encode())
        for path in sorted([*HERE.glob("*.py"), *HERE.glob("dom0/**/*"), *HERE.glob("guest/*")]):
            if path.is_file():
                inputs.update(path.read_bytes())
        # Any package may bring another library; which ones matter is not worth knowing.
        inputs.update(Path("/var/lib/dpkg/status").read_bytes())
        return inputs.hexdigest()

    def build_guest(self, scratch):
        tree = FileTree(scratch / "guest")
        (scratch / "stand-ins").mkdir()
        add_slim_fio(tree, scratch / "stand-ins")
        tree.add_programs(GUEST_PROGRAMS)
        tree.add_busybox()
        self.kernel.add_modules(tree, GUEST_MODULES)
        tree.add_file(HERE / "guest/init", "/init", 0o755)
        tree.cpio(self.guest)

    def build_boot(self, scratch):
        tree = FileTree(scratch / "boot")
        tree.add_busybox()
        self.kernel.add_modules(tree, BOOT_MODULES)
        tree.add_file(HERE / "dom0/init", "/init", 0o755)
        tree.cpio(self.boot)

    def build_root(self, scratch):
        tree = FileTree(scratch / "root")
        (scratch / "root-stand-ins").mkdir()
        add_slim_fio(tree, scratch / "root-stand-ins")
        tree.add_programs(DOM0_PROGRAMS)
        for name in XEN_PROGRAMS.split():
            tree.add_program(f"{self.host.xen_tools}/{name}")
            tree.link(f"/usr/sbin/{name}", f"{self.host.xen_tools}/{name}")
        for verb in "chmod exists list ls read rm watch write".split():
            tree.link(f"/usr/bin/xenstore-{verb}", "xenstore")
        tree.add_busybox()
        tree.link("/usr/bin/sh", "bash") if not tree.place("/usr/bin/sh").is_symlink() else None
        # Loaded by name when a thread is cancelled.
        tree.add_file("/lib/x86_64-linux-gnu/libgcc_s.so.1", "/lib/x86_64-linux-gnu/libgcc_s.so.1")
        shutil.copytree("/etc/xen", tree.top / "etc/xen", dirs_exist_ok=True)
        tree.add_folders("boot", "data", "out", "share", "var/lib/xen", "var/lib/xenstored", "var/log/xen/console",
                         "usr/lib/xen-test")
        self.kernel.add_modules(tree, DOM0_MODULES)
        tree.add_file(self.vmlinux, "/boot/vmlinuz")
        tree.add_file(self.guest, "/boot/guest.cpio")
        tree.place("/boot/guest.cpio.gz").write_bytes(gzip.compress(self.guest.read_bytes()))
        tree.add_file(HERE / "dom0/guest-initramfs", "/usr/bin/guest-initramfs", 0o755)
        for name in ("start", "agent"):
            tree.add_file(HERE / "dom0" / name, f"/usr/lib/xen-test/{name}", 0o755)
        tree.add_loader_cache()
        make_ext4(self.root, ROOT_BYTES, tree.top)


def make_ext4(path, size_bytes, content=None):
    """A sparse file with a new file system that no kernel thread has anything left to do for."""
    path.unlink(missing_ok=True)
    with open(path, "wb") as file:
        os.truncate(file.fileno(), size_bytes)
    command = ["mke2fs", "-q", "-t", "ext4", "-b", "4096", "-m", "0",
               "-E", "lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0,nodiscard"]
    if content is not None:
        command += ["-d", str(content)]
    environment = dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin")
    subprocess.run([*command, str(path)], check=True, env=environment, stdout=subprocess.DEVNULL)
