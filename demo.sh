#!/bin/bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# Shows tapdisk at work. Everything it makes is in build/, and it needs neither Xen nor KVM.
set -euo pipefail

usage() {
    cat <<'USAGE'
usage: ./demo.sh [--ring]

  (nothing)  real Xen, emulated: xl creates a guest whose disk is an image that tapdisk serves
  --ring     without Xen: a simulated guest reads and writes a disk through the ring, every byte is checked

Environment: DEMO_DIRECTORY   with --ring: where the image lies; a disk's file system, not tmpfs (default build/demo)
USAGE
}

case ${1:-} in
    '') exec "$(dirname "${BASH_SOURCE[0]}")/tests/demo/xen" ;;
    --ring) exec "$(dirname "${BASH_SOURCE[0]}")/tests/demo/ring" ;;
    --help | -h) usage ;;
    *) usage >&2; exit 2 ;;
esac
