# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# What scenarios have in common; each begins with ". /share/lib/scenario.sh". A scenario that fails leaves everything as it is,
# to be looked at; one that succeeds has destroyed its guests itself, or that is a failure too.
set -euo pipefail
# shellcheck source=tests/xen/lib/tapback.sh
. /share/lib/tapback.sh
# What --set said: KILLS=50
# shellcheck source=/dev/null
. /share/settings

work=/data/scenario
consoles=/var/log/xen/console
rm -rf "$work"
mkdir -p "$work"
trap 'scenario_ends $?' EXIT

# For guests' kernels as for dom0's (machine.py, LESS_WORK).
less_work=$(grep -oE 'mitigations=.*' /proc/cmdline)
# Of the guests that make_guest() is about to make.
guest_type=pv
guest_memory=160
guest_vcpus=1
guest_args=
guest_extra=

scenario_ends() {
    [ "$1" -ne 0 ] || rm -rf "$work"
}

step() {
    echo "-- $(cut -d' ' -f1 /proc/uptime) s: $*"
}

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# expect WHAT COMMAND...
expect() {
    local what=$1
    shift
    "$@" || fail "$what: $*"
}

# expect_equal WHAT WANTED GOT
expect_equal() {
    [ "$2" = "$3" ] || fail "$1: '$3' instead of '$2'"
}

# make_image NAME MIB: an image with an ext4 in which the file "hello" says who it is; prints its path.
make_image() {
    local path=$work/$1.img tree
    tree=$(mktemp -d)
    echo "hello from $1" >"$tree/hello"
    truncate -s "$2M" "$path"
    mke2fs -q -t ext4 -d "$tree" -E nodiscard "$path"
    rm -r "$tree"
    echo "$path"
}

# disk VDEV PATH [ro]: a disk line of tapdisk.
disk() {
    echo "script=block-tapdisk,vdev=$1,access=${3:-rw},target=raw:$2"
}

# make_guest NAME DISK_LINE...: its script comes from standard input, and runs when the disks are there.
make_guest() {
    local name=$1 lines=
    shift
    { echo 'set -eu'; cat; } >"$work/$name.sh"
    guest-initramfs "$work/$name.sh" "$work/$name.cpio"
    for line in "$@"; do
        lines="$lines\"$line\", "
    done
    cat >"$work/$name.cfg" <<CONFIG
name = "$name"
type = "$guest_type"
memory = $guest_memory
vcpus = $guest_vcpus
kernel = "/boot/vmlinuz"
ramdisk = "$work/$name.cpio"
extra = "console=hvc0 panic=-1 quiet $less_work $guest_args"
on_poweroff = "destroy"
on_crash = "destroy"
disk = [ $lines ]
$guest_extra
CONFIG
}

# start_guest NAME
start_guest() {
    rm -f "$consoles/guest-$1.log"
    xl create "$work/$1.cfg" >/dev/null || fail "xl create $1"
}

console_of() {
    tr -d '\r' <"$consoles/guest-$1.log"
}

guest_said() { console_of "$1" 2>/dev/null | grep -q "$2"; }
guest_gone() { ! xl domid "$1" >/dev/null 2>&1; }

# wait_until_says NAME REGEX [SECONDS]
wait_until_says() {
    wait_for_line "$consoles/guest-$1.log" "${3:-200}" "$2" '^GUEST-EXIT|Kernel panic' ||
        { console_of "$1"; fail "guest $1 did not say '$2'"; }
}

# wait_until_gone NAME [SECONDS]: its console says when it is about to go, so that xl need not be asked all the time. Then xl
# takes its disks away, one script after the other.
wait_until_gone() {
    wait_for_line "$consoles/guest-$1.log" "${2:-200}" '^GUEST-EXIT|Kernel panic' || true
    wait_for "${2:-60}" guest_gone "$1" || { console_of "$1"; fail "guest $1 did not end"; }
}

# expect_done NAME [SECONDS]: the guest's script ends with status 0, and the guest with it.
expect_done() {
    wait_until_gone "$@"
    guest_said "$1" '^GUEST-EXIT 0$' || { console_of "$1"; fail "guest $1: its script failed"; }
}

# tell NAME LINE: types a line on the guest's console.
tell() {
    echo "$2" >"$(xenstore-read "/local/domain/$(xl domid "$1")/console/tty")"
}

# backend_of NAME VDEV_NUMBER: the backend directory of a guest's disk.
backend_of() {
    xenstore-read "/local/domain/$(xl domid "$1")/device/vbd/$2/backend"
}

# field VBD JQ_EXPRESSION: of what tap-ctl says about a disk, guest/xvda for instance.
field() {
    tap-ctl info "$1" --json | jq -r "$2"
}

# statistic VBD JQ_EXPRESSION
statistic() {
    tap-ctl stats "$1" --json | jq -r "$2"
}

# disks_served: how many tapback has.
disks_served() {
    tap-ctl list --json | jq '.vbds | length'
}

no_tapdisk() { ! pgrep -x tapdisk >/dev/null; }

# status_of PID KEY: a line of what the kernel says about a process.
status_of() {
    sed -n "s/^$2:[[:space:]]*//p" "/proc/$1/status"
}

# expect_confined PID: this tapdisk is in its sandbox.
expect_confined() {
    for set in CapInh CapPrm CapEff CapBnd CapAmb; do
        expect_equal "$set of $1" 0000000000000000 "$(status_of "$1" $set)"
    done
    expect_equal "NoNewPrivs of $1" 1 "$(status_of "$1" NoNewPrivs)"
    expect_equal "Seccomp of $1" 2 "$(status_of "$1" Seccomp)"
    expect_equal "user of $1" $((2013265920 + $1)) "$(status_of "$1" Uid | cut -f1)"
    expect_equal "number of $1 in its namespace" 1 "$(status_of "$1" NSpid | cut -f2)"
    expect_equal "files in the root of $1" "" "$(ls -A "/proc/$1/root")"
}

expect_clean() {
    e2fsck -fn "$1" >"$work/e2fsck" 2>&1 || { cat "$work/e2fsck"; fail "$1: the file system is not clean"; }
}

# content IMAGE FILE: of a file inside an image's file system.
content() {
    debugfs -R "cat /$2" "$1" 2>/dev/null
}
