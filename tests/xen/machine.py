# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# The emulated machine: QEMU without KVM, Xen, dom0, and the agent in it that runs jobs.
import os
import secrets
import select
import socket
import subprocess
import time

BOOT_SECONDS = 600
# A job's own limit is kept in dom0; this is for a dom0 that does not keep it, or takes its time to say how it looks.
GRACE_SECONDS = 240
# As a disk or a network that cannot keep up with what guests write.
SLOW_BYTES_PER_SECOND = 8 << 20

# What a kernel may leave out: clearing memory twice, tests of its own code, string instructions that emulation makes slow.
LESS_WORK = "mitigations=off init_on_alloc=0 cryptomgr.notests rcupdate.rcu_expedited=1 clearcpuid=rep_good lsm=capability"


class MachineFailed(Exception):
    """The machine did not boot, ended, or does not answer: what its jobs would have said is unknown."""


class Machine:
    """One boot. Ends with its owner, however that ends."""

    def __init__(self, images, disks, share, out, console, output, shell=False):
        """`disks` from Images.new_disks(); `share` and `out` are folders, seen by dom0 as /share and /out; `output(bytes)`
        takes what jobs print."""
        self.output = output
        self.console = console
        self.buffer = b""
        ours, theirs = socket.socketpair()
        self.socket = ours
        self.socket.setblocking(False)
        environment = dict(os.environ, TMPDIR=str(images.folder))  # where QEMU keeps what dom0 writes to its root disk
        with theirs, open(console.with_suffix(".qemu"), "wb") as errors:
            self.process = subprocess.Popen(
                command_line(images, disks, share, out, console, theirs.fileno(), shell), env=environment,
                pass_fds=[theirs.fileno()], start_new_session=not shell,
                stdin=None if shell else subprocess.DEVNULL, stdout=None if shell else errors, stderr=errors)

    def wait_for_boot(self):
        self.read_until("boot", "end", BOOT_SECONDS)

    def run(self, kind, name, seconds):
        """Runs a job; its status, and for a scenario that of the check after it: (status, left)."""
        nonce = secrets.token_hex(8)
        self.socket.sendall(f"{nonce} {seconds} {kind} {name}\n".encode())
        status = self.read_until(nonce, "end", seconds + GRACE_SECONDS)
        left = self.read_until(nonce, "left", GRACE_SECONDS) if kind == "scenario" else 0
        return status, left

    def read_until(self, nonce, what, seconds):
        """Passes on what is printed until the line that ends it; the number on that line."""
        marker = f"@{nonce} {what} ".encode()
        deadline = time.monotonic() + seconds
        while True:
            position = self.buffer.find(marker)
            end = self.buffer.find(b"\n", position)
            if position >= 0 and end >= 0:
                self.output(self.buffer[:position])
                status = int(self.buffer[position + len(marker):end])
                self.buffer = self.buffer[end + 1:]
                return status
            self.pass_on_all_but(position if position >= 0 else len(self.buffer) - len(marker))
            self.receive(deadline)

    def pass_on_all_but(self, position):
        if position > 0:
            self.output(self.buffer[:position])
            self.buffer = self.buffer[position:]

    def receive(self, deadline):
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self.socket], [], [], left)[0]:
            self.fail("does not answer")
        received = self.socket.recv(1 << 16)
        if not received:
            self.fail("ended")
        self.buffer += received

    def fail(self, what):
        self.output(self.buffer)
        self.buffer = b""
        raise MachineFailed(f"the machine {what}; its console is in {self.console}")

    def stop(self):
        self.process.kill()
        self.process.wait()
        self.socket.close()


def option(path):
    """A path as part of one of QEMU's lists."""
    return str(path).replace(",", ",,")


def command_line(images, disks, share, out, console, agent, shell):
    data, slow = (f"file={option(disk)},format=raw,if=virtio,cache=unsafe,discard=unmap" for disk in disks)
    dom0 = f"console=hvc0 quiet panic=-1 {LESS_WORK}"
    xen = "console=com1 com1=115200,8n1 dom0_mem=1536M,max:1536M dom0_max_vcpus=2 bootscrub=0 conring_size=256k spec-ctrl=no loglvl=warning"
    return [
        "setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64", "-accel", "tcg,thread=multi", "-smp", "2", "-m", "4G",
        # -cpu max crashes a PV dom0 in its first instructions. With nested SVM, PVH guests run as well. Without a source of
        # randomness kernels wait for seconds until they have gathered some.
        "-cpu", "qemu64,+svm,+npt,+nrip-save,+rdrand", "-nodefaults", "-display", "none", "-no-reboot", "-no-user-config",
        "-kernel", str(images.xen), "-append", xen,
        "-initrd", f"{option(images.vmlinux)} {dom0},{option(images.boot)}",
        "-serial", f"file:{option(console)}",
        "-drive", f"file={option(images.root)},format=raw,if=virtio,snapshot=on",
        # Nothing here outlives this machine, so its flushes need not reach the host's disk.
        "-drive", data,
        "-drive", f"{slow},throttling.bps-total={SLOW_BYTES_PER_SECOND}",
        "-virtfs", f"local,path={option(share)},mount_tag=share,security_model=none,readonly=on",
        "-virtfs", f"local,path={option(out)},mount_tag=out,security_model=none",
        "-device", "virtio-serial-pci",
        "-chardev", f"socket,id=agent,fd={agent}", "-device", "virtserialport,chardev=agent,name=agent",
        *(["-chardev", "stdio,id=shell,signal=off", "-device", "virtconsole,chardev=shell,name=shell"] if shell else []),
    ]
