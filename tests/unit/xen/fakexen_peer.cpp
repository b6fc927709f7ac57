// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// The other process in tests of the simulated machine. It does not know the fake: it uses the Xen libraries, and the
// test preloads the fake. It prints one line when it is ready, or why it failed, and then serves until its standard
// input ends or it is killed.
//
//   offer DOMAIN PAGES        shares pages, page i full of bytes i + 1, and offers a port: prints the port and the
//   refs;
//                             then answers every event with one
//   bind DOMAIN PORT [REF..]  binds the port and maps the refs: prints the first byte of each; then answers as above
//   churn DOMAIN              shares, offers and takes back as fast as it can
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <poll.h>
#include <string>
#include <string_view>
#include <unistd.h>
#include <vector>

#include "libblktap/base/units.hpp"
#include "libblktap/xen/event_channel.hpp"
#include "libblktap/xen/grant_table.hpp"
#include "libblktap/xen/shared_pages.hpp"

namespace {

using namespace blktap;
using namespace blktap::xen;

std::uint32_t number(const char* text) {
    return static_cast<std::uint32_t>(std::strtoul(text, nullptr, 0));
}

void say(const std::string& line) {
    std::puts(line.c_str());
    std::fflush(stdout);
}

void answer_events(EventChannelHandle& handle, EventChannel& channel) {
    for (;;) {
        pollfd sources[] = {{.fd = handle.fd(), .events = POLLIN, .revents = 0},
                            {.fd = STDIN_FILENO, .events = POLLIN, .revents = 0}};
        ::poll(sources, 2, -1);
        if (sources[1].revents != 0) return;
        while (const auto port = handle.pending()) {
            handle.unmask(*port);
            channel.notify();
        }
    }
}

void offer(DomainId domain, std::uint32_t page_count) {
    ShareHandle shares;
    EventChannelHandle events;
    SharedPages pages{shares, domain, page_count, PageAccess::read_write};
    EventChannel channel = EventChannel::bind_unbound(events, domain);
    std::string line = std::to_string(channel.port());
    for (std::uint32_t page = 0; page < page_count; ++page) {
        std::ranges::fill(pages.bytes().subspan(page * page_size_bytes, page_size_bytes), std::byte(page + 1));
        line += " " + std::to_string(pages.refs()[page]);
    }
    say(line);
    answer_events(events, channel);
}

void bind(DomainId domain, Port port, const std::vector<GrantRef>& refs) {
    GrantTable grants;
    EventChannelHandle events;
    EventChannel channel = EventChannel::bind_interdomain(events, domain, port);
    GuestPages pages;
    if (!refs.empty()) pages = grants.map(domain, refs, PageAccess::read_write).value();
    std::string line = "bound";
    for (std::size_t page = 0; page < refs.size(); ++page) {
        line += " " + std::to_string(std::to_integer<int>(pages.bytes()[page * page_size_bytes]));
    }
    say(line);
    answer_events(events, channel);
}

void churn(DomainId domain) {
    ShareHandle shares;
    EventChannelHandle events;
    say("ready");
    for (;;) {
        const SharedPages pages{shares, domain, 3, PageAccess::read_write};
        const EventChannel channel = EventChannel::bind_unbound(events, domain);
    }
}

int run(int argc, char** argv) {
    const std::string_view what = argc > 2 ? argv[1] : "";
    const auto domain = static_cast<DomainId>(argc > 2 ? number(argv[2]) : 0);
    if (what == "offer" && argc == 4) {
        offer(domain, number(argv[3]));
    } else if (what == "bind" && argc >= 4) {
        std::vector<GrantRef> refs;
        std::transform(argv + 4, argv + argc, std::back_inserter(refs), number);
        bind(domain, number(argv[3]), refs);
    } else if (what == "churn" && argc == 3) {
        churn(domain);
    } else {
        return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {
        say(error.what());
        return EXIT_FAILURE;
    }
}
