#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# Builds and tests, layer by layer; the last line is "N passed, N failed". Logs are in build/logs/.
set -uo pipefail

usage() {
    cat <<'USAGE'
usage: ./test.sh [--quick | --all]

  (nothing)  one build as it ships, its fast tests, the core scenarios on real Xen: at most 15 minutes on two processors
  --quick    one debug build and the fast tests: for each commit
  --all      also slow tests, sanitizers, fuzzers, thread sanitizer, every scenario on real Xen: what must pass before a
             change goes in; at most an hour

Environment: BLKTAP_FUZZ_SECONDS  time for each fuzzer (default 20)
             BLKTAP_SEED          seed of the property tests (default: a new one, printed on failure)
USAGE
}

extent=${1:-}
case $extent in
    '' | --quick | --all) ;;
    --help | -h) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
esac

cd "$(dirname "${BASH_SOURCE[0]}")" || exit
. tests/support/shell/common.sh
export warnings_are_errors=1  # a demonstration among the tests builds in the same folder
logs=$PWD/build/logs
mkdir -p "$logs"
trap 'end_running_group; exit 130' INT TERM HUP
export BLKTAP_FUZZ_SECONDS=${BLKTAP_FUZZ_SECONDS:-20}

passed=0
failed=0
skipped=0

fail() {
    failed=$((failed + 1))
    echo "FAILED: $1"
}

# Adds up what ctest wrote to the JUnit file $2; $3 is ctest's own status.
count() {
    local name=$1 results=$2 status=$3 run_passed run_failed run_skipped
    if ! read -r run_passed run_failed run_skipped < <(tests/support/count-tests "$results" 2>>"$logs/$name.failures"); then
        fail "$name: ctest wrote no results; see $logs/$name-tests.log"
        return
    fi
    cat "$logs/$name.failures"
    echo "$run_passed passed, $run_failed failed, $run_skipped skipped"
    passed=$((passed + run_passed))
    failed=$((failed + run_failed))
    skipped=$((skipped + run_skipped))
    if [ "$((run_passed + run_failed))" -eq 0 ]; then
        fail "$name: no test ran"
    elif [ "$status" -ne 0 ] && [ "$run_failed" -eq 0 ]; then
        fail "$name: ctest failed without a failed test; see $logs/$name-tests.log"
    fi
}

# layer PRESET "TARGET..." CTEST_OPTION...: builds a preset, or only some targets of it, and runs the tests chosen.
layer() {
    local name=$1 targets=$2 begin=$SECONDS status=0 left
    shift 2
    echo
    echo "== $name"
    rm -f "$logs/$name"*
    # shellcheck disable=SC2086  # targets are words
    if build_preset "$logs/$name-build.log" "$name" $targets; then
        echo "built in $((SECONDS - begin)) s"
        run_logged "$logs/$name-tests.log" ctest --preset "$name" --parallel "$(nproc)" --no-tests=error \
            --output-junit "$logs/$name.xml" "$@" || status=$?
        left=$(left_running)
        [ -z "$left" ] || { sleep 2; left=$(left_running); }  # what a test has just killed may still be ending
        count "$name" "$logs/$name.xml" $status
        if [ -n "$left" ]; then
            fail "$name: tests left processes behind: $left"
            end_running_group
        fi
    else
        tail -n 40 "$logs/$name-build.log"
        fail "$name: could not be built; see $logs/$name-build.log"
    fi
    echo "$((SECONDS - begin)) s"
}

# xen_layer OPTION...: guests on real Xen in an emulated machine; counts the runner's last line.
xen_layer() {
    local begin=$SECONDS status=0 run_passed run_failed
    echo
    echo "== xen"
    rm -f "$logs"/xen*
    run_logged "$logs/xen.log" tests/xen/run "$@" || status=$?
    if read -r run_passed run_failed < <(sed -n '$s/^\([0-9]*\) passed, \([0-9]*\) failed$/\1 \2/p' "$logs/xen.log"); then
        grep -E '^FAILED|once more' "$logs/xen.log"
        echo "$run_passed passed, $run_failed failed"
        passed=$((passed + run_passed))
        failed=$((failed + run_failed))
        [ "$status" -eq 0 ] || [ "$run_failed" -ne 0 ] || fail "xen: status $status"
    else
        tail -n 20 "$logs/xen.log"
        fail "xen: status $status and no result; see $logs/xen.log"
    fi
    echo "$((SECONDS - begin)) s"
}

if ! tests/support/install-packages build test xen; then
    fail "packages are missing"
elif [ "$extent" = --quick ]; then
    layer dev "" --label-exclude '^(slow|explore)$'
elif [ "$extent" = '' ]; then
    layer release "" --label-exclude '^(slow|explore)$'
    xen_layer --core
else
    BLKTAP_SOAK_SECONDS=120 layer release "" --label-exclude '^explore$'
    # With the fuzzers, for as long as BLKTAP_FUZZ_SECONDS says. What is tried again and again in the layer above is
    # tried less often here, and the tests of the tests are not.
    BLKTAP_KILLS=50 BLKTAP_RECOVERY_KILLS=96 BLKTAP_CRASH_POINTS=4 BLKTAP_SCALE_VBDS=128 layer asan-ubsan "" --label-exclude '^(house|planted)$'
    layer tsan "base_test ring_test xen_test" --tests-regex '^(base|ring|xen)_test:'
    xen_layer
fi

echo
[ "$skipped" -eq 0 ] || echo "$skipped skipped: see above"
echo "total $SECONDS s; logs in $logs"
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
