// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
#include "libblktap/xen/device_controls.hpp"

#include <sys/ioctl.h>

#include "libblktap/xen/xen_libraries.hpp"

// After the libraries, whose types these use.
extern "C" {
#include <xen/sys/evtchn.h>
#include <xen/sys/gntdev.h>
}

namespace blktap::xen {

std::span<const unsigned long> device_controls() noexcept {
    static constexpr unsigned long controls[] = {
        IOCTL_EVTCHN_BIND_INTERDOMAIN, IOCTL_EVTCHN_UNBIND,
        IOCTL_EVTCHN_NOTIFY,           IOCTL_EVTCHN_RESET,
        IOCTL_EVTCHN_RESTRICT_DOMID,   IOCTL_GNTDEV_MAP_GRANT_REF,
        IOCTL_GNTDEV_UNMAP_GRANT_REF,  IOCTL_GNTDEV_GET_OFFSET_FOR_VADDR,
        IOCTL_GNTDEV_SET_UNMAP_NOTIFY, IOCTL_GNTDEV_GRANT_COPY,
    };
    return controls;
}

}  // namespace blktap::xen
