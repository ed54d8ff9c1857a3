/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Merkle tree over chain values: what lets one signature over thousands of records be shown for a single one with a few hashes.
 *
 * The shape is that of RFC 6962, 2.1: of n leaves the left subtree has the greatest power of two below n. A leaf is the chain value behind a
 * record as it is; an inner node is SHA-256(0x01 || left || right). A chain value is the SHA-256 of 208 bytes and a node that of 65, so
 * neither passes for the other. Growing keeps the roots of the whole subtrees only: 1 KiB however many leaves. Pure: no I/O.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codecs/digest.h"

#define TREE_LEVELS 32 /* leaves below 2^32: a segment has far fewer */

struct tree {
	uint64_t count;
	uint8_t peaks[TREE_LEVELS]
		     [DIGEST_SHA256_LEN]; /* [k]: root of 2^k leaves, where bit k of ${count} is set */
};

/* Zeros are an empty tree. Only what counts is copied. */
void tree_copy(struct tree *to, const struct tree *from);

/* One more leaf, about one hash on average. 0, or -EIO (no digest, or full): then the tree is of no use any more. */
int tree_add(struct tree *tree, struct sha256 *sha, const uint8_t leaf[static DIGEST_SHA256_LEN])
    __attribute__((warn_unused_result));

/* The root of at least one leaf. 0 or -EIO. */
int tree_root(const struct tree *tree, struct sha256 *sha, uint8_t root[static DIGEST_SHA256_LEN])
    __attribute__((warn_unused_result));

/* The audit path of one leaf, gathered while the leaves come. */
struct tree_path {
	struct tree tree;
	uint64_t index; /* of the leaf it is about */
	size_t count;	/* nodes so far, from the leaf upwards */
	uint8_t nodes[TREE_LEVELS][DIGEST_SHA256_LEN];
};

/* Begin the path of leaf ${index}, from 0. */
void tree_path_init(struct tree_path *path, uint64_t index);
int tree_path_add(struct tree_path *path, struct sha256 *sha, const uint8_t leaf[static DIGEST_SHA256_LEN])
    __attribute__((warn_unused_result));
/* No more leaves: complete the path and give the root. 0 or -EIO (also when the leaf never came). */
int tree_path_end(struct tree_path *path, struct sha256 *sha, uint8_t root[static DIGEST_SHA256_LEN])
    __attribute__((warn_unused_result));

/*
 * The root that ${leaf} at ${index} of ${count} leaves and ${nodes} (${node_count} of them) give. False when there are too few or too many for that
 * place, or there is no digest.
 */
bool tree_climb(struct sha256 *sha, const uint8_t leaf[static DIGEST_SHA256_LEN], uint64_t index,
    uint64_t count, const uint8_t (*nodes)[DIGEST_SHA256_LEN], size_t node_count,
    uint8_t root[static DIGEST_SHA256_LEN]) __attribute__((warn_unused_result));
