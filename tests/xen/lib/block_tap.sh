# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# Disks of xl's own "backendtype=tap", which Xen's own script block-tap attaches by calling tap-ctl.
# shellcheck source=tests/xen/lib/scenario.sh
. /share/lib/scenario.sh

# tap_disk VDEV PATH [ro]
tap_disk() {
    echo "backendtype=tap,vdev=$1,access=${3:-rw},target=$2"
}

tap_calls=/run/tap-calls

# record_tap_calls: from now on $tap_calls has each call that is made of tap-ctl, and what it printed.
record_tap_calls() {
    cp /usr/sbin/tap-ctl /run/tap-ctl.real
    cat >/run/tap-ctl.recorder <<'RECORDER'
#!/bin/bash
status=0
/run/tap-ctl.real "$@" >/run/tap-printed || status=$?
{ echo "\$ tap-ctl $*"; cat /run/tap-printed; [ $status -eq 0 ] || echo "status $status"; } >>/run/tap-calls
cat /run/tap-printed
exit $status
RECORDER
    chmod 755 /run/tap-ctl.recorder
    : >$tap_calls
    mount --bind /run/tap-ctl.recorder /usr/sbin/tap-ctl
}

stop_recording() {
    umount /usr/sbin/tap-ctl
}
