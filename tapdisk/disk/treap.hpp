// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Treap: a search tree whose nodes lie in their owners and may keep a sum over the nodes below them. RangeQueue needs
// such sums ("how many begin before here", "one less for all of these"), which std::map and Boost's trees do not have.
// It is balanced by priorities that nobody outside can guess: a guest that could choose the shape of the tree would
// make every step as long as it likes. All operations visit O(log n) nodes, expected; none allocates.
//
// Node: `Node* left, *right; std::uint32_t priority;` and, noexcept, `bool before(const Node&) const` (a strict order
// of all nodes), `void gather()` (its sums, from its children's) and `void hand_down()` (what waits for the children).
//
// Tested by tests/unit/tapdisk/range_guard_test.cpp.
#pragma once

#include <cstdint>

namespace blktap {

template <class Node>
class Treap {
  public:
    /// `steps` counts the nodes that were visited; it outlives the tree.
    explicit Treap(std::uint64_t& steps) noexcept : steps_(steps) {}

    bool empty() const noexcept { return root == nullptr; }

    void insert(Node& node, std::uint32_t priority) noexcept {
        node.left = node.right = nullptr;
        node.priority = priority;
        node.gather();
        const auto [before, after] = split(root, [&node](const Node& other) { return other.before(node); });
        root = join(join(before, &node), after);
    }
    void erase(Node& node) noexcept { root = without(root, node); }

    struct Parts {
        Node* before;
        Node* after;
    };
    /// Cuts a tree in two. `goes_before` is true for none, some or all of its nodes, from the first on.
    template <class GoesBefore>
    Parts split(Node* tree, GoesBefore goes_before) noexcept {
        if (tree == nullptr) return {nullptr, nullptr};
        ++steps_;
        tree->hand_down();
        if (goes_before(*tree)) {
            const Parts parts = split(tree->right, goes_before);
            tree->right = parts.before;
            tree->gather();
            return {tree, parts.after};
        }
        const Parts parts = split(tree->left, goes_before);
        tree->left = parts.after;
        tree->gather();
        return {parts.before, tree};
    }
    /// Everything in `before` goes before everything in `after`.
    Node* join(Node* before, Node* after) noexcept {
        if (before == nullptr) return after;
        if (after == nullptr) return before;
        ++steps_;
        if (before->priority > after->priority) {
            before->hand_down();
            before->right = join(before->right, after);
            before->gather();
            return before;
        }
        after->hand_down();
        after->left = join(before, after->left);
        after->gather();
        return after;
    }
    /// `tree` without `node`, which is in it.
    Node* without(Node* tree, Node& node) noexcept {
        ++steps_;
        tree->hand_down();
        if (tree == &node) return join(tree->left, tree->right);
        Node*& side = node.before(*tree) ? tree->left : tree->right;
        side = without(side, node);
        tree->gather();
        return tree;
    }

    Node* root = nullptr;

  private:
    std::uint64_t& steps_;
};

}  // namespace blktap
