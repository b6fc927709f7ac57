# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# Starting tapback in dom0, in the place of systemd.
# shellcheck source=tests/xen/lib/wait.sh
. /share/lib/wait.sh

tapback_log=/var/log/tapback.log

# start_tapback [OPTION...]
start_tapback() {
    mkdir -p /run/tapdisk
    setsid tapback "$@" >>"$tapback_log" 2>&1 </dev/null &
    disown
    wait_for 20 tap-ctl list
}

# replace_tapback [OPTION...]: its disks do not notice.
replace_tapback() {
    pkill -KILL -x tapback
    start_tapback "$@"
}
