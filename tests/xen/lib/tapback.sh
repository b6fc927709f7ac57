# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# Starting and stopping tapback in dom0, in the place of systemd.

tapback_log=/var/log/tapback.log

# wait_for SECONDS COMMAND...: until the command succeeds; its status when it does not.
wait_for() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || { "$@"; return; }
        sleep 0.1
    done
}

start_tapback() {
    mkdir -p /run/tapdisk
    setsid tapback >>"$tapback_log" 2>&1 </dev/null &
    disown
    wait_for 20 tap-ctl list
}
