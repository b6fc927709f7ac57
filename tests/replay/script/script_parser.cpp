// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// One line is one statement, except from "batch" to "end". The statements about the ring and the disk come before the
// first request, because a script connects once.
#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <system_error>

#include "libblktap/ipc/messages.hpp"
#include "tests/replay/script/script_request.hpp"
#include "tests/replay/script/script_setup.hpp"

namespace blktap::replay {
namespace {

class Parser {
  public:
    Parser(const std::string& name, std::string_view text) : text_(text) { script_.name = name; }
    Script parse();

  private:
    using Handler = void (Parser::*)(const ScriptLine&);
    void parse_statement(const ScriptLine& line);
    Handler find_handler(std::string_view word) const;

    void ring(const ScriptLine& line) { parse_ring(line, script_.ring); }
    void protocols(const ScriptLine& line) { parse_protocols(line, script_.ring); }
    void require(const ScriptLine& line) { parse_requirements(line, script_.requirements); }
    void request(const ScriptLine& line);
    void batch(const ScriptLine& line);
    void end(const ScriptLine& line);
    void producer(const ScriptLine& line);
    void expect_none(const ScriptLine& line) { plain(line, ScriptStatement::Kind::expect_none); }
    void stopped(const ScriptLine& line) { plain(line, ScriptStatement::Kind::stopped); }
    void reconnect(const ScriptLine& line) { plain(line, ScriptStatement::Kind::reconnect); }
    void plain(const ScriptLine& line, ScriptStatement::Kind kind);

    void only_before_requests(const ScriptLine& line) const;
    void check_queue(const ScriptLine& line, unsigned queue) const;
    void check_size(const ScriptLine& line, const ScriptStatement& statement) const;

    std::string_view text_;
    Script script_;
    std::optional<ScriptStatement> batch_;
};

Script Parser::parse() {
    unsigned number = 0;
    while (!text_.empty()) {
        const std::size_t end = std::min(text_.find('\n'), text_.size());
        const ScriptLine line = split_line(script_.name, ++number, text_.substr(0, end));
        text_.remove_prefix(std::min(end + 1, text_.size()));
        if (!line.words.empty()) parse_statement(line);
    }
    if (batch_) ScriptLine{script_.name, batch_->line, {}}.fail("a batch without its end");
    return std::move(script_);
}

Parser::Handler Parser::find_handler(std::string_view word) const {
    static constexpr std::array<std::pair<std::string_view, Handler>, 9> handlers{{
        {"ring", &Parser::ring},
        {"protocols", &Parser::protocols},
        {"require", &Parser::require},
        {"batch", &Parser::batch},
        {"end", &Parser::end},
        {"producer", &Parser::producer},
        {"expect-none", &Parser::expect_none},
        {"stopped", &Parser::stopped},
        {"reconnect", &Parser::reconnect},
    }};
    for (const auto& [name, handler] : handlers)
        if (name == word) return handler;
    return is_request(word) ? &Parser::request : nullptr;
}

void Parser::parse_statement(const ScriptLine& line) {
    const Handler handler = find_handler(line.words.front());
    if (handler == nullptr) line.fail("unknown word '" + std::string(line.words.front()) + "'");
    if (batch_ && handler != &Parser::request && handler != &Parser::end)
        line.fail("'" + std::string(line.words.front()) + "' inside a batch: only requests are");
    if (handler == &Parser::ring || handler == &Parser::protocols || handler == &Parser::require)
        only_before_requests(line);
    (this->*handler)(line);
}

void Parser::only_before_requests(const ScriptLine& line) const {
    if (!script_.statements.empty()) line.fail("'" + std::string(line.words.front()) + "' belongs before the requests");
}

void Parser::request(const ScriptLine& line) {
    ScriptRequest request = parse_request(line);
    check_queue(line, request.queue);
    ScriptStatement& statement =
        batch_ ? *batch_ : script_.statements.emplace_back(ScriptStatement{.line = line.number});
    statement.requests.push_back(std::move(request));
    check_size(line, statement);
}

void Parser::batch(const ScriptLine& line) {
    if (line.words.size() > 1) line.fail("batch stands alone");
    batch_ = ScriptStatement{.line = line.number};
}

void Parser::end(const ScriptLine& line) {
    if (!batch_) line.fail("an end without its batch");
    if (line.words.size() > 1) line.fail("end stands alone");
    script_.statements.push_back(std::move(*batch_));
    batch_.reset();
}

void Parser::producer(const ScriptLine& line) {
    plain(line, ScriptStatement::Kind::producer);
    ScriptStatement& statement = script_.statements.back();
    const std::string_view change = line.words.size() > 1 ? line.words[1] : "";
    if (!change.starts_with('+') && !change.starts_with('-')) line.fail("producer needs +N or -N");
    const auto amount = read_number_as<std::uint32_t>(line, change.substr(1));
    statement.offset = change.starts_with('+') ? amount : 0 - amount;
}

/// A statement without requests; of its words only queue= is read here.
void Parser::plain(const ScriptLine& line, ScriptStatement::Kind kind) {
    ScriptStatement statement{.kind = kind, .line = line.number};
    const std::size_t first = kind == ScriptStatement::Kind::producer ? 2 : 1;
    for (std::size_t i = first; i < line.words.size(); ++i) {
        const auto [key, value] = split_field(line.words[i]);
        const bool has_queue = kind == ScriptStatement::Kind::producer || kind == ScriptStatement::Kind::stopped;
        if (key != "queue" || !has_queue) line.fail("'" + std::string(line.words[i]) + "' is too much here");
        statement.queue = static_cast<unsigned>(read_number(line, value.value_or(""), ipc::queues_max));
    }
    check_queue(line, statement.queue);
    script_.statements.push_back(std::move(statement));
}

void Parser::check_queue(const ScriptLine& line, unsigned queue) const {
    if (queue >= script_.ring.queues)
        line.fail("queue " + std::to_string(queue) + ": the ring has " + std::to_string(script_.ring.queues));
}

void Parser::check_size(const ScriptLine& line, const ScriptStatement& statement) const {
    std::size_t pages = 0;
    for (const ScriptRequest& request : statement.requests)
        pages += request.segments.size() + 1;
    if (pages > script_pages_max) line.fail("needs more than " + std::to_string(script_pages_max) + " pages at once");
}

}  // namespace

Script parse_script(const std::string& name, std::string_view text) {
    return Parser(name, text).parse();
}

Script load_script(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::system_error(errno, std::generic_category(), path);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    return parse_script(path, text);
}

}  // namespace blktap::replay
