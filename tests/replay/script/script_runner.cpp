// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Answers may come in any order within a batch; each must name a request that waits for one, by id and operation. Of
// two requests with one id (a hostile guest may), the one that expects this very status is preferred.
#include "tests/replay/script/script_runner.hpp"

#include <algorithm>
#include <set>

#include "tests/replay/script/script_setup.hpp"

namespace blktap::replay {
namespace {

bool fits(Answer answer, ring::Status status) noexcept {
    switch (answer) {
        case Answer::okay:
            return status == ring::Status::okay;
        case Answer::error:
            return status == ring::Status::error;
        case Answer::not_supported:
            return status == ring::Status::not_supported;
        case Answer::any:
            return true;
        case Answer::none:
            return false;
    }
    return false;
}

std::string describe(const ring::Response& response) {
    return answer_name(response.status) + " for id " + std::to_string(response.id) + " and operation " +
           std::to_string(response.operation);
}

}  // namespace

ScriptRunner::ScriptRunner(const Target& target, Connection& connection, const Script& script, ring::Protocol protocol)
    : target_(target), connection_(connection), script_(script), protocol_(protocol) {
    connect();
    check_requirements(script_, session_->device());
}

void ScriptRunner::connect() {
    FrontendOptions options = target_.frontend;
    options.protocol = protocol_;
    options.ring_order = script_.ring.order;
    options.queue_count = script_.ring.queues;
    options.persistent = script_.ring.persistent;
    options.discard_enabled = script_.ring.discard;
    session_.emplace(connection_, options, target_.interrupt_fd);
    pages_.emplace(session_->frontend(), script_);
}

void ScriptRunner::fail(unsigned line, const std::string& what) const {
    throw Failure(script_.name + ":" + std::to_string(line) + ": " + what + " [" +
                  std::string(ring::protocol_name(protocol_)) + "]");
}

void ScriptRunner::run() {
    for (const ScriptStatement& statement : script_.statements)
        run_statement(statement);
    session_->disconnect();
}

void ScriptRunner::run_statement(const ScriptStatement& statement) {
    switch (statement.kind) {
        case ScriptStatement::Kind::requests:
            return run_requests(statement);
        case ScriptStatement::Kind::producer:
            return force_producer(statement);
        case ScriptStatement::Kind::expect_none:
            return expect_quiet(statement.line);
        case ScriptStatement::Kind::stopped:
            return check_stopped(statement);
        case ScriptStatement::Kind::reconnect:
            session_->disconnect();
            return connect();
    }
}

void ScriptRunner::run_requests(const ScriptStatement& statement) {
    pages_->reset();
    std::vector<PlacedRequest> placed;
    placed.reserve(statement.requests.size());
    std::set<unsigned> queues;
    for (const ScriptRequest& request : statement.requests) {
        ring::FrontRing& ring = session_->frontend().ring(request.queue);
        if (ring.full()) {
            throw ScriptError(script_.name + ":" + std::to_string(request.line) + ": the ring of " +
                              std::to_string(ring.slot_count()) + " slots is full");
        }
        ring.put_request(placed.emplace_back(request, *pages_).raw());
        queues.insert(request.queue);
    }
    for (const unsigned queue : queues)
        session_->frontend().publish(queue);

    std::vector<const PlacedRequest*> expected;
    for (const PlacedRequest& request : placed)
        if (request.script().answer != Answer::none) expected.push_back(&request);
    collect(expected);
    for (const PlacedRequest& request : placed) {
        // "any" may have been an error, after which the data means nothing.
        if (request.script().answer != Answer::okay) continue;
        if (const auto wrong = request.check_data()) fail(request.script().line, *wrong);
    }
}

void ScriptRunner::collect(std::vector<const PlacedRequest*>& expected) {
    const Nanoseconds deadline = clock_.now() + target_.timeout;
    while (!expected.empty()) {
        const ScriptRequest& waiting = expected.front()->script();
        if (const auto taken = take(waiting.line)) {
            match(expected, taken->second, taken->first);
            continue;
        }
        if (session_->frontend().rearm()) continue;
        const Nanoseconds left = deadline - clock_.now();
        if (left <= Nanoseconds(0)) {
            const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(target_.timeout).count();
            fail(waiting.line, "expected " + answer_name(waiting.answer) + ", got no answer within " +
                                   std::to_string(seconds) + " s");
        }
        sleep(waiting.line, answer_name(waiting.answer), left);
    }
}

/// The next answer on any queue, with its queue.
std::optional<std::pair<unsigned, ring::Response>> ScriptRunner::take(unsigned line) {
    for (unsigned queue = 0; queue < session_->frontend().queue_count(); ++queue) {
        const auto response = session_->frontend().take(queue);
        if (!response) fail(line, "expected one answer a request, got more answers than requests");
        if (response.value()) return std::pair{queue, *response.value()};
    }
    return std::nullopt;
}

void ScriptRunner::sleep(unsigned line, const std::string& expectation, Nanoseconds limit) {
    try {
        if (session_->wait(limit) == Session::Wake::interrupted) throw std::runtime_error("interrupted");
    } catch (const BackendGone& gone) {
        fail(line, "expected " + expectation + ", got none: " + gone.what());
    }
}

void ScriptRunner::match(std::vector<const PlacedRequest*>& expected, const ring::Response& response, unsigned queue) {
    const auto named = [&](const PlacedRequest* request) {
        const ScriptRequest& script = request->script();
        return script.id == response.id && script.answered_operation() == response.operation && script.queue == queue;
    };
    const auto wanted = [&](const PlacedRequest* request) {
        return named(request) && fits(request->script().answer, response.status);
    };
    const auto found = std::ranges::find_if(expected, wanted);
    if (found != expected.end()) {
        expected.erase(found);
        return;
    }
    const auto misjudged = std::ranges::find_if(expected, named);
    if (misjudged != expected.end()) {
        const ScriptRequest& request = (*misjudged)->script();
        fail(request.line, "expected " + answer_name(request.answer) + ", got " + answer_name(response.status));
    }
    const ScriptRequest& waiting = expected.front()->script();
    fail(waiting.line, "expected " + answer_name(waiting.answer) + " for id " + std::to_string(waiting.id) +
                           " and operation " + std::to_string(waiting.answered_operation()) + ", got " +
                           describe(response));
}

void ScriptRunner::force_producer(const ScriptStatement& statement) {
    ring::FrontRing& ring = session_->frontend().ring(statement.queue);
    ring.force_request_producer(ring.requests_put() + statement.offset);
    session_->frontend().notify(statement.queue);
}

void ScriptRunner::expect_quiet(unsigned line) {
    const Nanoseconds deadline = clock_.now() + quiet_time;
    while (clock_.now() < deadline) {
        if (const auto taken = take(line)) fail(line, "expected no answer, got " + describe(taken->second));
        if (!session_->frontend().rearm()) sleep(line, "no answer from a living backend", deadline - clock_.now());
    }
}

void ScriptRunner::check_stopped(const ScriptStatement& statement) {
    // A flush that nothing is wrong with, on a ring whose indices are right again.
    ring::FrontRing& ring = session_->frontend().ring(statement.queue);
    if (ring.full()) throw ScriptError(script_.name + ":" + std::to_string(statement.line) + ": the ring is full");
    ring::RawRequest flush{};
    flush.operation = static_cast<std::uint8_t>(ring::Operation::flush_diskcache);
    flush.id = statement.line;
    ring.put_request(flush);
    session_->frontend().publish(statement.queue);
    session_->frontend().notify(statement.queue);
    expect_quiet(statement.line);
}

}  // namespace blktap::replay
