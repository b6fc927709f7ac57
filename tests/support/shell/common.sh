# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# Shared by test.sh and demo.sh: commands whose output goes to a log, and builds of a preset. To be sourced, from the
# top of the tree. Each command runs in its own process group, so that none of its processes outlives an interrupted script.

running_group=

# run_logged LOG COMMAND...: the status is the command's. While it runs, running_group names its process group.
run_logged() {
    local log=$1 status=0
    shift
    printf '\n$ %s\n' "$*" >>"$log"
    set -m
    "$@" >>"$log" 2>&1 </dev/null &
    running_group=$!
    set +m
    wait "$running_group" || status=$?
    return $status
}

# Processes that the last command left behind; a zombie waits for its parent only.
left_running() {
    ps -eo pgid=,stat=,pid=,args= | awk -v group="$running_group" '$1 == group && $2 !~ /^Z/ { $1 = $2 = ""; print }'
}

end_running_group() {
    [ -n "$running_group" ] || return 0
    kill -TERM -- "-$running_group" 2>/dev/null || return 0
    sleep 1
    kill -KILL -- "-$running_group" 2>/dev/null || true
}

# build_preset LOG PRESET [TARGET...]: configures and builds; without a target, everything. If warnings_are_errors is set they
# are errors in every preset, also in `release`, which people build with compilers that we do not know.
build_preset() {
    local log=$1 preset=$2
    shift 2
    if command -v ccache >/dev/null; then
        export CMAKE_CXX_COMPILER_LAUNCHER=ccache CCACHE_DIR=${CCACHE_DIR:-$PWD/build/ccache}
    fi
    run_logged "$log" cmake --preset "$preset" ${warnings_are_errors:+-DCMAKE_COMPILE_WARNING_AS_ERROR=ON} &&
        run_logged "$log" cmake --build --preset "$preset" --parallel "$(nproc)" ${1:+--target "$@"}
}
