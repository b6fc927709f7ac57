# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# A guest whose root file system is on an image with a format: the guest fills it itself, boots from it, boots again, and goes on
# writing while the image gets a snapshot and then becomes larger. In three lives of one guest:
#   1. from the initramfs: makes the file system and copies all that it runs from onto it
#   2. from the disk: writes, and reboots
#   3. from the disk: writes on through a snapshot and a resize, and switches off
# shellcheck source=tests/xen/lib/scenario.sh
. /share/lib/scenario.sh

# What life 1 puts on the disk as the program that the kernel's init becomes.
on_disk_init() {
    cat <<'DISK'
#!/bin/sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
ends() {
    echo "GUEST-EXIT $1"
    sync
    mount -o remount,ro /
    poweroff -f
}
set -eu
trap 'ends $?' EXIT
mount -t tmpfs tmp /tmp
echo "ROOT $(awk '$2 == "/" && $1 ~ "^/dev" { print $1 }' /proc/mounts)"
echo boot >>/boots
if [ "$(wc -l </boots)" -eq 1 ]; then
    seq 1 200000 >/first
    sync
    echo "REBOOTS $(sha256sum /first | cut -d' ' -f1)"
    mount -o remount,ro /
    reboot -f
fi
echo 3 >/proc/sys/vm/drop_caches
echo "FIRST $(sha256sum /first | cut -d' ' -f1)"
echo "RUNS"
line=0
until [ "$(cat /sys/block/xvda/size)" -eq @SECTORS@ ]; do
    line=$((line + 1))
    seq "$line" "$((line + 2000))" >"/through.$((line % 40))"
    sync
done
echo "WROTE $line"
resize2fs /dev/xvda
seq 1 5000000 >/last
sync
echo 3 >/proc/sys/vm/drop_caches
echo "LAST $(sha256sum /last | cut -d' ' -f1)"
cat /through.* | sha256sum | cut -d' ' -f1 >/sum
DISK
}

# root_on_image FORMAT NAME: the whole life of a guest of the type that guest_type says.
root_on_image() {
    local format=$1 name=$2 image=$work/$2.$1 overlay=$work/$2-2.$1 sum
    step "$name: a $guest_type guest from $format"
    tap-ctl image create "$format:$image" --size 96M
    guest_memory=224
    guest_args=root=/dev/xvda
    guest_extra='on_reboot = "restart"'
    make_guest "$name" "script=block-tapdisk,vdev=xvda,access=rw,target=$format:$image" <<GUEST
mkfs.ext4 -q /dev/xvda
mount /dev/xvda /mnt
for place in /*; do
    case \$place in
        /dev | /proc | /sys | /tmp | /mnt | /init | /script) mkdir -p /mnt\$place ;;
        *) cp -a \$place /mnt/ ;;
    esac
done
rmdir /mnt/init
cat >/mnt/init <<'DISK'
$(on_disk_init | sed "s/@SECTORS@/$((160 * 2048))/")
DISK
chmod +x /mnt/init
umount /mnt
echo "FILLED \$(cat /proc/sys/kernel/random/boot_id)"
reboot -f
GUEST
    start_guest "$name"
    wait_until_life "$name" '^RUNS'
    expect "the root" guest_said "$name" '^ROOT /dev/xvda$'
    sum=$(seq 1 200000 | sha256sum | cut -d' ' -f1)
    expect "what the life before wrote" guest_said "$name" "^FIRST $sum\$"

    step "$name: a snapshot"
    expect "the snapshot" tap-ctl image snapshot "$name/xvda" "$format:$overlay"
    expect_equal "the image now" "$overlay" "$(field "$name/xvda" .image.path)"
    sum=$(sha256sum <"$image")
    step "$name: larger"
    expect "the larger disk" tap-ctl resize "$name/xvda" 160M
    expect_done "$name" 400
    guest_said "$name" "^LAST $(seq 1 5000000 | sha256sum | cut -d' ' -f1)\$" || { console_of "$name"; fail "other contents"; }
    expect_equal "the image under the snapshot" "$sum" "$(sha256sum <"$image")"

    step "$name: from outside"
    for path in "$image" "$overlay"; do
        expect "check $path" is_right "$format:$path"
    done
    "raw_of_$format" "$overlay" "$work/$name.raw"
    expect_equal "its size" $((160 << 20)) "$(stat -c %s "$work/$name.raw")"
    expect_clean "$work/$name.raw"
    expect_equal "boots" 2 "$(content "$work/$name.raw" boots | wc -l)"
    expect_equal "what it wrote last" "$(seq 1 5000000 | sha256sum)" "$(content "$work/$name.raw" last | sha256sum)"
    rm -f "$work/$name.raw" "$image" "$overlay"
}

# is_right IMAGE: no error; space that nobody uses is none (3), a VHD's old table for instance.
is_right() {
    tap-ctl image check "$1" || [ $? -eq 3 ]
}

raw_of_qcow2() {
    qemu-img convert -f qcow2 -O raw "$1" "$2"
}

# qemu-img does not read differencing VHDs: dom0 sees it as a disk of its own.
raw_of_vhd() {
    tap-ctl plug --domain 0 --device xvdh --image "vhd:$1" --read-only
    wait_for 60 test -b /dev/xvdh || fail "no /dev/xvdh"
    dd if=/dev/xvdh of="$2" bs=1M iflag=direct status=none
    tap-ctl unplug 0/xvdh
}

# wait_until_life NAME REGEX: as wait_until_says, for a guest that is gone for a moment between two lives.
wait_until_life() {
    wait_for_line "$consoles/guest-$1.log" 400 "$2" '^GUEST-EXIT|Kernel panic' ||
        { console_of "$1"; fail "guest $1 did not say '$2'"; }
}
