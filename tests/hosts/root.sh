# shellcheck shell=bash
# SPDX-License-Identifier: BSD-2-Clause
# Copyright (c) 2026, the blktap developers
#
# A root of another release of Debian, which mmdebstrap makes from the mirror that this machine's apt uses. All of it is kept
# in a folder: the root, the downloaded packages, what is built in it. For scripts that define refuse() and run in the
# project's top folder.

# use_root HOST FOLDER: makes the root of debian-12 or debian-13 when FOLDER has none; then inside() is there. The folder
# stays locked until the script ends.
use_root() {
    local suite
    case $1 in
        debian-12) suite=bookworm ;;
        debian-13) suite=trixie ;;
        *) refuse "no host named '$1' (debian-12, debian-13)" ;;
    esac
    tree=$PWD
    root_folder=$2
    root=$root_folder/root
    [ "$(id -u)" -eq 0 ] || refuse "only root can enter a root of $1"
    tests/support/install-packages hosts || refuse "packages are missing"
    mkdir -p "$root_folder/archives/partial" "$root_folder/build"
    exec {root_lock}>"$root_folder/lock"
    flock --nonblock "$root_lock" || refuse "another one runs in $root_folder"
    [ -d "$root" ] || make_root "$suite"
}

# mirror LABEL: where this machine's apt has that archive from.
mirror() {
    # shellcheck disable=SC2016  # apt's own variables
    apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(LABEL)' 'Created-By: Packages' |
        awk -v label="$1" '$2 == "Debian" && $3 == label { print $1; exit }'
}

make_root() {
    local suite=$1 debian security begin=$SECONDS
    debian=$(mirror Debian)
    security=$(mirror Debian-Security)
    [ -n "$debian" ] || refuse "apt knows no mirror of Debian: is apt-get update due?"
    rm -rf "$root.partial"
    # How this machine reaches the mirror is how the root does: proxies, and clocks that disagree with the archive's.
    apt-config dump | grep -E '^Acquire::(https?::|Check-(Valid-Until|Date) )' >"$root_folder/apt.conf" || true
    mmdebstrap --variant=apt --aptopt="$root_folder/apt.conf" "$suite" "$root.partial" "deb $debian $suite main" \
        "deb $debian $suite-updates main" ${security:+"deb $security $suite-security main"} >"$root_folder/root.log" 2>&1 || {
        tail -n 20 "$root_folder/root.log" >&2
        refuse "no root of $suite could be made from $debian; see $root_folder/root.log"
    }
    mkdir "$root.partial/src"
    mv "$root.partial" "$root"
    echo "made a root of $suite in $((SECONDS - begin)) s" >&2
}

# inside COMMAND...: in the root, with the source tree read-only in /src and the host's own build folder in it. Mounts and
# processes are its own and end with it, however this script ends.
inside() {
    # shellcheck disable=SC2016  # for the inner shell
    setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --propagation private bash -euc '
        tree=$1 folder=$2 root=$2/root
        shift 2
        mount --bind "$root" "$root"  # a root is a mount, for tests that mount something themselves
        mount --bind "$tree" "$root/src"
        mount -o remount,bind,ro "$root/src"
        mount --bind "$folder/build" "$root/src/build"
        mount --bind "$folder/archives" "$root/var/cache/apt/archives"
        mount -t proc proc "$root/proc"
        mount --rbind /dev "$root/dev"
        mount --rbind /sys "$root/sys"
        cp -L /etc/resolv.conf "$root/etc/resolv.conf"
        exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
            ${BLKTAP_SEED:+BLKTAP_SEED="$BLKTAP_SEED"} sh -euc "cd /src && \"\$@\"" sh "$@"
    ' bash "$tree" "$root_folder" "$@" </dev/null {root_lock}>&-
}
