#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# Shows tapdisk at work, on any machine: a simulated guest reads a whole disk through a blkif ring, overwrites one file's
# blocks, and every byte is checked against the image. Everything it makes is in build/demo/ and goes away again.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: ./demo.sh [--ring]

  --ring   the simulated guest's ring; the only demonstration so far, and the default

Environment: DEMO_DIRECTORY   where the image lies; a disk's file system, not tmpfs (default build/demo)
USAGE
}

case ${1:-} in
    '' | --ring) ;;
    --help | -h) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
esac

cd "$(dirname "${BASH_SOURCE[0]}")"
. tests/support/shell/common.sh
PATH=$PATH:/usr/sbin:/sbin # mke2fs and its like, for those who are not root

bin=$PWD/build/release/bin
fake=$PWD/build/release/lib/libfakexen.so
folder=${DEMO_DIRECTORY:-$PWD/build/demo}
log=$PWD/build/logs/demo.log
image_mib=256
scratch_mib=64
control= # a short path: a socket's name holds 107 characters
tapdisk=

clean_up() {
    local status=$?
    trap - EXIT
    end_running_group
    if [ -n "$tapdisk" ]; then
        kill -KILL "$tapdisk" 2>/dev/null || true
        wait "$tapdisk" 2>/dev/null || true
    fi
    rm -rf "$folder/image" "$folder/tree" "$folder/after" "$control"
    [ "$status" -eq 0 ] || echo "The demonstration failed; all output is in $log" >&2
    exit "$status"
}

die() {
    echo "demo.sh: $*" >&2
    exit 1
}

step() {
    echo
    echo "-- $*"
}

# Runs a command, output to the log; when it fails, shows what it said.
quietly() {
    run_logged "$log" "$@" || {
        tail -n 15 "$log" >&2
        die "failed: $*"
    }
}

guest() {
    LD_PRELOAD=$fake FAKEXEN=$control FAKEXEN_DOMAIN=5 "$bin/ring-replay" "$1" --tapdisk "$control/socket" "${@:2}"
}

now_us() { echo "${EPOCHREALTIME/./}"; }

# speed MIB MICROSECONDS
speed() { awk -v mib="$1" -v us="$2" 'BEGIN { printf "%.0f MiB/s", mib / (us / 1000000) }'; }

make_image() {
    mkdir -p "$folder/tree"
    case $(stat -f -c %T "$folder") in
        tmpfs | ramfs) die "$folder is not on a disk; name a folder that is: DEMO_DIRECTORY=/var/tmp/demo ./demo.sh" ;;
    esac
    cp -RL /usr/include/c++ /usr/share/common-licenses "$folder/tree/" 2>>"$log" || true # links that lead nowhere stay behind
    head -c "${scratch_mib}M" /dev/urandom >"$folder/tree/scratch"
    quietly mke2fs -q -F -t ext4 -b 4096 -d "$folder/tree" "$folder/image" "${image_mib}M"
    files=$(find "$folder/tree" -type f | wc -l)
}

# FIRST:COUNT in sectors, for each extent of the file /scratch inside the image.
scratch_extents() {
    debugfs -R 'dump_extents -l /scratch' "$folder/image" 2>>"$log" | tr '/-' '  ' |
        awk '$1 ~ /^[0-9]+$/ { print $7 * 8 ":" $9 * 8 }' # blocks of 4096 bytes
}

start_tapdisk() {
    control=$(mktemp -d /tmp/blktap-demo.XXXXXX)
    LD_PRELOAD=$fake FAKEXEN=$control FAKEXEN_DOMAIN=0 \
        "$bin/tapdisk" --open "raw:$folder/image" --control "$control/socket" 2>"$control/log" &
    tapdisk=$!
    for _ in $(seq 200); do
        if grep -q ready "$control/log"; then
            cat "$control/log"
            return
        fi
        kill -0 "$tapdisk" 2>/dev/null || break
        sleep 0.05
    done
    cat "$control/log" >&2
    die "tapdisk does not serve"
}

stop_tapdisk() {
    local status=0
    kill -TERM "$tapdisk"
    wait "$tapdisk" || status=$?
    tapdisk=
    cat "$control/log" >>"$log"
    [ "$status" -eq 0 ] || die "tapdisk ended with status $status: $(tail -n 3 "$control/log")"
}

# The scratch file has changed, and nothing else.
compare_files() {
    mkdir "$folder/after"
    quietly debugfs -R "rdump / \"$folder/after\"" "$folder/image"
    if cmp -s "$folder/tree/scratch" "$folder/after/scratch"; then
        die "what the guest wrote is not in the image"
    fi
    rm "$folder/tree/scratch" "$folder/after/scratch"
    rmdir "$folder/after/lost+found"
    quietly diff -r "$folder/tree" "$folder/after"
}

trap clean_up EXIT
trap 'exit 130' INT TERM HUP
mkdir -p "$(dirname "$log")"
: >"$log"

step "Packages and programs"
tests/support/install-packages demo
build_preset "$log" release tapdisk ring-replay fakexen_preload || {
    tail -n 30 "$log" >&2
    die "the build failed"
}
echo "build/release/bin: tapdisk $("$bin/tapdisk" --version | awk '{ print $NF }'), ring-replay; ready after $SECONDS s"

step "An image with a file system and real files in it"
make_image
echo "$folder/image: ext4, $image_mib MiB, $files files"
expected=$(sha256sum "$folder/image" | cut -d' ' -f1)
# What the host caches from here on is tapdisk's doing.
sync "$folder/image"
dd if="$folder/image" iflag=nocache count=0 status=none

step "tapdisk serves it; the simulated guest reads the whole disk"
start_tapdisk
begin=$(now_us)
guest read -o - 2>>"$log" | sha256sum >"$control/sum" || die "the guest could not read the disk"
read_us=$(($(now_us) - begin))
cached=$(fincore --bytes --noheadings --output RES "$folder/image" 2>>"$log" | tr -d ' ')
[ "$(cut -d' ' -f1 "$control/sum")" = "$expected" ] || die "what the guest read is not what the image holds"
echo "sha256 of what the guest read: $expected, as the image's"

step "The guest overwrites the blocks of one file and reads every one back"
written_sectors=0
begin=$(now_us)
while read -r range; do
    guest load --pattern sequential --mix write --verify --size 4k --depth 32 --range "$range" \
        --requests $((${range#*:} / 8)) >>"$log" 2>&1 </dev/null || die "sectors $range: $(tail -n 1 "$log")"
    written_sectors=$((written_sectors + ${range#*:}))
    echo "sectors $range written and verified"
done < <(scratch_extents)
write_us=$(($(now_us) - begin))
[ "$written_sectors" -eq $((scratch_mib * 2048)) ] || die "the scratch file's blocks were not all found in the image"

step "tapdisk stops; the file system and all other files are as they were"
stop_tapdisk
quietly e2fsck -fn "$folder/image"
compare_files
echo "e2fsck: clean; $((files - 1)) files compared"

echo
printf '%-44s %10s %12s   %s\n' "what was served" amount speed result \
    "whole disk, read by the guest" "$image_mib MiB" "$(speed $image_mib $read_us)" "every byte right (sha256)" \
    "one file, overwritten and read back" "$scratch_mib MiB" "$(speed $scratch_mib $write_us)" "every byte right (verify)" \
    "the other $((files - 1)) files" "" "" "unchanged (diff), file system clean" \
    "the image in the host's page cache" "${cached:-?} bytes" "" "O_DIRECT"
echo "Done in $SECONDS s."
