# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# Waiting in dom0. On an emulated processor a process costs tens of milliseconds, and what waits takes them from the guest
# that it waits for: so nothing here starts one to sleep, or to look at a console.

# A pipe that nothing is ever written to.
exec {wait_never}<> <(:)

# nap: a tenth of a second.
nap() { read -r -t 0.1 -u "$wait_never" || true; }

# wait_for SECONDS COMMAND...: until the command succeeds; its status when it does not.
wait_for() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ "$SECONDS" -lt "$end" ] || { "$@"; return; }
        nap
    done
}

# wait_for_line FILE SECONDS REGEX [STOP]: until a line of the file matches the first regular expression. Fails at once
# with a line that matches the other one, and when the time is over.
wait_for_line() {
    local file=$1 status=0 fd
    wait_for "$2" test -e "$file" || return
    exec {fd}<"$file"
    shift
    wait_for_next_line "$fd" "$@" || status=$?
    exec {fd}<&-
    return $status
}

# wait_for_next_line DESCRIPTOR SECONDS REGEX [STOP]: the same of an open file, from where it is read next.
wait_for_next_line() {
    local fd=$1 end=$((SECONDS + $2)) wanted=$3 stop=${4:-} line='' part
    while true; do
        if IFS= read -r part <&"$fd"; then
            line=$line${part%$'\r'}
            [[ ! $line =~ $wanted ]] || return 0
            [[ -z $stop || ! $line =~ $stop ]] || return 1
            line=
        else
            line=$line$part # not at its end yet
            [ "$SECONDS" -lt "$end" ] || return 1
            nap
        fi
    done
}
