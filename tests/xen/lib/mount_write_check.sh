# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# The life of a guest with one disk, for the types of guest.

# mount_write_check TYPE
mount_write_check() {
    local image sum written
    export guest_type=$1
    image=$(make_image "$1" 64)
    make_guest "$1" "$(disk xvda "$image")" <<'GUEST'
grep xvda /proc/partitions
mount /dev/xvda /mnt
cat /mnt/hello
dd if=/dev/urandom of=/mnt/data bs=64k count=24
sha256sum /mnt/data | cut -d' ' -f1 >/mnt/sum
sync
echo 3 >/proc/sys/vm/drop_caches
echo "SUM $(sha256sum /mnt/data | cut -d' ' -f1)"
umount /mnt
GUEST
    step "xl create"
    start_guest "$1"
    step "the guest runs"
    expect_equal "who serves the disk" "raw:$image" "$(tap-ctl list --json | jq -r '.vbds[0].image | .format + ":" + .path')"
    expect_done "$1"
    step "the guest is gone"
    guest_said "$1" "^hello from $1\$" || fail "the guest did not read the image"
    expect_clean "$image"
    sum=$(content "$image" sum)
    written=$(content "$image" data | sha256sum | cut -d' ' -f1)
    expect_equal "what the image holds" "$sum" "$written"
    guest_said "$1" "^SUM $sum\$" || fail "the guest read back something else"
}
