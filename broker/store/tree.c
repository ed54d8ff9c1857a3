/* SPDX-License-Identifier: Apache-2.0 */
/* See tree.h. */
#include "broker/store/tree.h"

#include <errno.h>
#include <string.h>

/* ${out} may be ${left} or ${right}. */
static int
node(struct sha256 *sha, const uint8_t *left, const uint8_t *right, uint8_t *out)
{
	uint8_t both[1 + 2 * DIGEST_SHA256_LEN] = { 1 };

	memcpy(both + 1, left, DIGEST_SHA256_LEN);
	memcpy(both + 1 + DIGEST_SHA256_LEN, right, DIGEST_SHA256_LEN);
	return sha256_of(sha, span_make(both, sizeof both), out);
}

void
tree_copy(struct tree *to, const struct tree *from)
{
	to->count = from->count;
	for (unsigned k = 0; from->count >> k; k++)
		if (from->count >> k & 1)
			memcpy(to->peaks[k], from->peaks[k], DIGEST_SHA256_LEN);
}

static void
path_note(struct tree_path *path, const uint8_t *sibling)
{
	if (path->count < TREE_LEVELS)
		memcpy(path->nodes[path->count++], sibling, DIGEST_SHA256_LEN);
}

/* One more leaf; ${path}, unless NULL, notes what it joins. */
static int
fold(struct tree *tree, struct sha256 *sha, const uint8_t leaf[static DIGEST_SHA256_LEN],
    struct tree_path *path)
{
	uint64_t here = tree->count; /* the new leaf's index */
	uint8_t carried[DIGEST_SHA256_LEN];
	unsigned k = 0;

	memcpy(carried, leaf, sizeof carried);
	for (; k < TREE_LEVELS && tree->count >> k & 1; k++) {
		uint64_t pair = here >> (k + 1) << (k + 1); /* the subtree that these two make */

		if (path && path->index >= pair && path->index <= here)
			path_note(path, path->index >= pair + ((uint64_t)1 << k) ? tree->peaks[k] : carried);
		if (node(sha, tree->peaks[k], carried, carried))
			return -EIO;
	}
	if (k == TREE_LEVELS)
		return -EIO;
	memcpy(tree->peaks[k], carried, sizeof carried);
	tree->count++;
	return 0;
}

int
tree_add(struct tree *tree, struct sha256 *sha, const uint8_t leaf[static DIGEST_SHA256_LEN])
{
	return fold(tree, sha, leaf, NULL);
}

int
tree_root(const struct tree *tree, struct sha256 *sha, uint8_t root[static DIGEST_SHA256_LEN])
{
	bool begun = false;

	for (unsigned k = 0; k < TREE_LEVELS; k++) {
		if (!(tree->count >> k & 1))
			continue;
		if (!begun)
			memcpy(root, tree->peaks[k], DIGEST_SHA256_LEN);
		else if (node(sha, tree->peaks[k], root, root))
			return -EIO;
		begun = true;
	}
	return begun ? 0 : -EIO;
}

void
tree_path_init(struct tree_path *path, uint64_t index)
{
	path->tree.count = 0;
	path->index = index;
	path->count = 0;
}

int
tree_path_add(struct tree_path *path, struct sha256 *sha, const uint8_t leaf[static DIGEST_SHA256_LEN])
{
	return fold(&path->tree, sha, leaf, path);
}

int
tree_path_end(struct tree_path *path, struct sha256 *sha, uint8_t root[static DIGEST_SHA256_LEN])
{
	const struct tree *tree = &path->tree;
	uint64_t from = tree->count; /* leaves [from, count) are folded already */

	if (path->index >= tree->count)
		return -EIO;
	for (unsigned k = 0; k < TREE_LEVELS; k++) {
		uint64_t size = (uint64_t)1 << k;

		if (!(tree->count & size))
			continue;
		if (from < tree->count) {
			if (path->index >= from)
				path_note(path, tree->peaks[k]);
			else if (path->index >= from - size)
				path_note(path, root);
			if (node(sha, tree->peaks[k], root, root))
				return -EIO;
		} else {
			memcpy(root, tree->peaks[k], DIGEST_SHA256_LEN);
		}
		from -= size;
	}
	return 0;
}

/* RFC 9162, 2.1.3.2. */
bool
tree_climb(struct sha256 *sha, const uint8_t leaf[static DIGEST_SHA256_LEN], uint64_t index, uint64_t count,
    const uint8_t (*nodes)[DIGEST_SHA256_LEN], size_t node_count, uint8_t root[static DIGEST_SHA256_LEN])
{
	uint64_t last = count - 1;

	if (index >= count)
		return false;
	memcpy(root, leaf, DIGEST_SHA256_LEN);
	for (size_t i = 0; i < node_count; i++) {
		bool right = (index & 1) != 0 || index == last;

		if (last == 0)
			return false;
		if (node(sha, right ? nodes[i] : root, right ? root : nodes[i], root))
			return false;
		while (right && !(index & 1) && index) {
			index >>= 1;
			last >>= 1;
		}
		index >>= 1;
		last >>= 1;
	}
	return last == 0;
}
