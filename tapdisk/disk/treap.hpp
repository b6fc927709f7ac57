// SPDX-License-Identifier: BSD-2-Clause
// Copyright (c) 2026, the blktap developers
//
// Treap: a search tree whose nodes are embedded in other objects and may keep an aggregate over the nodes below them.
// RangeQueue needs such aggregates (count the nodes before a sector, subtract one from a whole range of nodes), which
// std::map and Boost's trees do not have. Random priorities balance the tree; they must be secret, because a guest that
// could choose the shape of the tree could make it degenerate. All operations visit O(log n) nodes, expected; none
// allocates.
//
// Node: `Node* left, *right; std::uint32_t priority;` and, noexcept, `bool before(const Node&) const` (a strict order
// of all nodes), `void gather()` (recomputes the aggregate from the children's) and `void hand_down()` (applies a
// pending change to the children).
//
// Tested by tests/unit/tapdisk/disk/range_guard_test.cpp.
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
    /// Splits a tree in two. `goes_before` is true for a prefix of its nodes, which may be empty or the whole tree.
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
    /// Returns the union of two trees; all nodes of `before` must precede those of `after`.
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
    /// Returns `tree` without `node`, which must be in it.
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
