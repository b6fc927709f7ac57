#!/usr/bin/env -S python3 -B
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# The systemd units cannot take guests down with them: each line that guests depend on is there, and no line that would
# break a tapdisk, which inherits the settings of tapback's unit and has its control group in the other one's.
from pathlib import Path

from tree import lines, report

UNIT = Path("control/systemd/tapback.service.in")
GROUPS = Path("control/systemd/tapdisks.service")

# (section, setting, words that its value must contain or, with "=", its whole value, why)
REQUIRED = [
    ("Service", "KillMode", "=process", "the default kills every tapdisk when tapback is stopped or restarted"),
    ("Service", "OOMPolicy", "=continue", "the default ends the whole service when one tapdisk runs out of memory"),
    ("Service", "OOMScoreAdjust", "=-900", "tapdisks inherit it; killed last, but after xenstored (-1000), without which none works"),
    ("Service", "ManagedOOMPreference", "=omit", "systemd-oomd kills whole control groups"),
    ("Service", "Restart", "=on-failure", "without tapback running disks go on, but no disk comes or goes"),
    ("Service", "RestartPreventExitStatus", "=2", "a wrong configuration does not get right by trying again"),
    ("Unit", "StartLimitIntervalSec", "=0", "after a few failures in a row systemd would give up, and nothing else brings tapback back"),
    ("Service", "Type", "=notify", "domains start only when their disks can be attached"),
    ("Service", "RuntimeDirectory", "=tapdisk", "the clients look for the socket in /run/tapdisk"),
    ("Service", "RuntimeDirectoryPreserve", "=yes", "sockets and recovery logs of running disks lie there while tapback is down"),
    ("Service", "RuntimeDirectoryMode", "=0700", "recovery logs are what a guest wrote"),
    ("Service", "UMask", "=0077", "whatever is made is root's alone, should its maker forget to say so"),
    ("Service", "TasksMax", "=infinity", "every tapdisk counts; the default is a few thousand threads"),
    ("Service", "LimitNOFILE", "=65536", "a few descriptors a disk for thousands of disks; the default is 1024"),
    ("Service", "LimitMEMLOCK", "=infinity", "tapdisks lock their memory; the default is 8 MiB"),
    ("Service", "ExecStartPre", "=-+/sbin/modprobe -abq xen-blkback xen-gntdev xen-evtchn",
     "a later load of xen-blkback would grab the disks of running guests; a kernel may have them built in, so failing is no failure; '+': tapback itself may load no module"),
    ("Service", "NoNewPrivileges", "=yes", "no program that tapback runs gets more than tapback has"),
    ("Unit", "After", "xen.service xenstored.service xen-init-dom0.service tapdisks.service",
     "nothing works without xenstored, and tapback looks for the control groups once"),
    ("Unit", "Before", "xendomains.service libvirtd.service virtxend.service libvirt-guests.service",
     "guests start after and, when the host goes down, end before their disks"),
    ("Unit", "Wants", "xen.service xenstored.service tapdisks.service", "whichever of them exists is started"),
    ("Unit", "ConditionPathExists", "=/proc/xen/capabilities", "the host may be booted without Xen: skipped, not failed"),
    ("Install", "WantedBy", "=multi-user.target", "systemctl enable needs it"),
]

# What tapback and what it starts may do, and what for. Nothing else: each capability that a process of root lacks is one that
# whoever takes it over lacks, too. tests/control/hostile/unit_file_test.cpp runs tapback with these.
CAPABILITIES = {
    "CAP_DAC_OVERRIDE": "images, and the directories on the way to them, belong to other users",
    "CAP_KILL": "a tapdisk is a user of its own, and is ended with its disk",
    "CAP_SETGID": "a tapdisk gets a group of its own, and no other",
    "CAP_SETPCAP": "a tapdisk empties its bounding set",
    "CAP_SETUID": "a tapdisk becomes a user of its own",
    "CAP_SYS_ADMIN": "a tapdisk gets namespaces and an empty root",
    "CAP_SYS_PTRACE": "who has a lock on an image is found in /proc/PID/fdinfo of other users' processes",
    "CAP_SYS_RESOURCE": "a tapdisk is an I/O flusher; one without a sandbox may write to blocks that file systems reserve for root",
    "CAP_SYSLOG": "which system call a tapdisk was killed for is in the kernel's log",
}

# The unit has no process: it owns the directory in which tapback makes a group for each tapdisk.
REQUIRED_OF_GROUPS = [
    ("Service", "Delegate", "cpu memory pids", "systemd leaves what is below the unit's group alone only if it is delegated"),
    ("Service", "RemainAfterExit", "=yes", "systemd removes the group of a unit that has ended"),
    ("Service", "Type", "=oneshot", "tapback may look for the group when the unit has started"),
    ("Service", "Slice", "=system.slice", "tapback looks for the group there"),
    ("Service", "KillMode", "=process", "the default kills every tapdisk when the unit is stopped"),
    ("Unit", "RefuseManualStop", "=yes", "systemd cannot start it again while tapdisks are below it"),
    ("Service", "OOMPolicy", "=continue", "the default ends the unit when one tapdisk reaches its bound"),
    ("Service", "ManagedOOMPreference", "=omit", "systemd-oomd kills whole control groups"),
    ("Service", "TasksMax", "=infinity", "every thread of every tapdisk counts"),
]

SECCOMP = "is a system call filter: each system call of every disk would pay for it"
NAMESPACE = "gives a mount namespace: images on what is mounted or hidden later are not found, or keep it busy"
DEVICES = "forbids devices: gntdev, evtchn and block devices are needed"
CEASES = "stops tapback, or disks, with xenstored's service"
FORBIDDEN = {
    "PrivateTmp": NAMESPACE, "PrivateMounts": NAMESPACE, "ProtectSystem": NAMESPACE, "ProtectHome": NAMESPACE,
    "ReadWritePaths": NAMESPACE, "ReadOnlyPaths": NAMESPACE, "InaccessiblePaths": NAMESPACE, "ProtectProc": NAMESPACE,
    "ProtectKernelTunables": NAMESPACE, "ProtectControlGroups": NAMESPACE, "RootDirectory": NAMESPACE,
    "PrivateDevices": DEVICES, "DevicePolicy": DEVICES, "DeviceAllow": DEVICES, "ProtectClock": DEVICES,
    "SystemCallFilter": SECCOMP, "SystemCallArchitectures": SECCOMP, "RestrictAddressFamilies": SECCOMP,
    "RestrictNamespaces": SECCOMP, "RestrictRealtime": SECCOMP, "RestrictSUIDSGID": SECCOMP, "LockPersonality": SECCOMP,
    "MemoryDenyWriteExecute": SECCOMP, "ProtectKernelModules": SECCOMP, "ProtectKernelLogs": SECCOMP,
    "ProtectHostname": SECCOMP,
    "Requires": CEASES, "BindsTo": CEASES, "PartOf": CEASES,
    "MemoryMax": "lets one disk's memory end another disk", "MemoryHigh": "slows all disks down for one",
    "MemorySwapMax": "lets one disk's memory end another disk", "MemoryLimit": "lets one disk's memory end another disk",
    "CPUQuota": "is one processor time for all disks: one guest could use it up", "PrivateNetwork": "hides servers of images from tools and hooks",
    "PrivateUsers": "maps all users but root to nobody: images' owners", "DynamicUser": "is not root, which Xen's devices and xenstored need",
    "User": "is not root, which Xen's devices and xenstored need", "BindPaths": NAMESPACE, "TemporaryFileSystem": NAMESPACE,
    "RootImage": NAMESPACE, "MountAPIVFS": NAMESPACE, "ProcSubset": NAMESPACE, "RuntimeMaxSec": "ends tapback in the middle of its work",
    "WatchdogSec": "kills tapback when a busy host is slow",
}


def settings(top, unit):
    """(line number, section, name, value) of each setting."""
    section = None
    for number, text in lines(top, unit):
        text = text.strip()
        if text.startswith("["):
            section = text.strip("[]")
        elif "=" in text and not text.startswith(("#", ";")):
            name, _, value = text.partition("=")
            yield number, section, name.strip(), value.strip()


def satisfies(value, wanted):
    return value == wanted[1:] if wanted.startswith("=") else set(wanted.split()) <= set(value.split())


def check_capabilities(found):
    values = [(number, value) for number, _, name, value in found if name == "CapabilityBoundingSet"]
    if len(values) != 1:
        yield f"{UNIT}:1: CapabilityBoundingSet is missing, or there twice: tapback would have all capabilities"
        return
    number, value = values[0]
    for name in sorted(set(value.split()) - CAPABILITIES.keys()):
        yield f"{UNIT}:{number}: {name}: nobody has said what for"
    for name in sorted(CAPABILITIES.keys() - set(value.split())):
        yield f"{UNIT}:{number}: {name} is missing: {CAPABILITIES[name]}"


def check(top):
    for unit, required in (UNIT, REQUIRED), (GROUPS, REQUIRED_OF_GROUPS):
        found = list(settings(top, unit))
        for section, name, wanted, reason in required:
            values = [value for _, where, what, value in found if (where, what) == (section, name)]
            if len(values) != 1 or not satisfies(values[0], wanted):
                yield f"{unit}:1: [{section}] {name}={wanted.lstrip('=')} is missing: {reason}"
        if unit == UNIT:
            yield from check_capabilities(found)
        for number, _, name, _ in found:
            if name in FORBIDDEN:
                yield f"{unit}:{number}: {name} {FORBIDDEN[name]}"


if __name__ == "__main__":
    report(check)
