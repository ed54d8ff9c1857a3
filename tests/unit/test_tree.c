/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tree against one written from the definition (RFC 6962, 2.1), for every count of leaves to 2,000; every path climbs to the root, and no
 * other leaf, place, count or hash does.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "broker/store/tree.h"

#define LEAVES 2000
#define LEN    DIGEST_SHA256_LEN

static uint8_t leaves[LEAVES][LEN];
static struct sha256 naive_sha;

static void
leaves_make(void)
{
	for (uint32_t i = 0; i < LEAVES; i++)
		assert_int_equal(digest_sha256(span_make(&i, sizeof i), leaves[i]), 0);
}

/* MTH of leaves [from, from + count), as the definition has it. */
static void
naive_root(size_t from, size_t count, uint8_t *root)
{
	uint8_t both[1 + 2 * LEN] = { 1 };
	size_t left = 1;

	if (count == 1) {
		memcpy(root, leaves[from], LEN);
		return;
	}
	while (left * 2 < count)
		left *= 2;
	naive_root(from, left, both + 1);
	naive_root(from + left, count - left, both + 1 + LEN);
	assert_int_equal(sha256_of(&naive_sha, span_make(both, sizeof both), root), 0);
}

static void
test_roots(void **state)
{
	struct tree tree = { 0 }, copy;
	uint8_t root[LEN], want[LEN];
	struct sha256 sha;

	(void)state;
	assert_int_equal(sha256_init(&sha), 0);
	assert_int_equal(tree_root(&tree, &sha, root), -5); /* no leaf, no root */
	for (size_t n = 1; n <= LEAVES; n++) {
		assert_int_equal(tree_add(&tree, &sha, leaves[n - 1]), 0);
		memset(&copy, 0xee, sizeof copy);
		tree_copy(&copy, &tree);
		assert_int_equal(tree_root(&copy, &sha, root), 0);
		naive_root(0, n, want);
		assert_memory_equal(root, want, LEN);
	}
	sha256_fini(&sha);
}

static void
path_of(struct sha256 *sha, size_t index, size_t count, struct tree_path *path, uint8_t *root)
{
	tree_path_init(path, index);
	for (size_t i = 0; i < count; i++)
		assert_int_equal(tree_path_add(path, sha, leaves[i]), 0);
	assert_int_equal(tree_path_end(path, sha, root), 0);
}

static void
test_paths(void **state)
{
	struct tree_path path;
	uint8_t root[LEN], want[LEN], climbed[LEN];
	struct sha256 sha;
	const size_t step = getenv("LIAISON_SLOW") ? 13 : 1; /* under valgrind a share */

	(void)state;
	assert_int_equal(sha256_init(&sha), 0);
	for (size_t n = 1; n <= 130; n += step)
		for (size_t i = 0; i < n; i++) {
			path_of(&sha, i, n, &path, root);
			naive_root(0, n, want);
			assert_memory_equal(root, want, LEN);
			assert_true(tree_climb(
			    &sha, leaves[i], i, n, (const uint8_t(*)[LEN])path.nodes, path.count, climbed));
			assert_memory_equal(climbed, want, LEN);
		}
	for (size_t n = 131; n <= LEAVES; n += 97)
		for (size_t i = n % 13; i < n; i += 61) {
			path_of(&sha, i, n, &path, root);
			assert_true(tree_climb(
			    &sha, leaves[i], i, n, (const uint8_t(*)[LEN])path.nodes, path.count, climbed));
			assert_memory_equal(climbed, root, LEN);
		}
	sha256_fini(&sha);
}

/* Nothing but what the path was made for gives the root. */
static void
test_wrong_climbs(void **state)
{
	enum { N = 21 };
	struct tree_path path;
	uint8_t root[LEN], climbed[LEN];
	struct sha256 sha;

	(void)state;
	assert_int_equal(sha256_init(&sha), 0);
	for (size_t i = 0; i < N; i++) {
		const uint8_t(*nodes)[LEN] = (const uint8_t(*)[LEN])path.nodes;

		path_of(&sha, i, N, &path, root);
		for (size_t other = 0; other < N + 3; other++)
			if (other != i)
				assert_false(
				    tree_climb(&sha, leaves[i], other, N, nodes, path.count, climbed) &&
				    memcmp(climbed, root, LEN) == 0);
		assert_false(tree_climb(&sha, leaves[(i + 1) % N], i, N, nodes, path.count, climbed) &&
			     memcmp(climbed, root, LEN) == 0);
		assert_false(tree_climb(&sha, leaves[i], i, N, nodes, path.count - 1, climbed));
		assert_false(tree_climb(&sha, leaves[i], i, N, nodes, path.count + 1, climbed));
		for (size_t k = 0; k < path.count; k++) {
			path.nodes[k][i % LEN] ^= 1;
			assert_true(tree_climb(&sha, leaves[i], i, N, nodes, path.count, climbed));
			assert_memory_not_equal(climbed, root, LEN);
			path.nodes[k][i % LEN] ^= 1;
		}
	}
	assert_false(tree_climb(&sha, leaves[0], 0, 0, NULL, 0, climbed));
	sha256_fini(&sha);
}

/* Own vectors: leaf i is the SHA-256 of i as 4 bytes, little-endian. Made by an independent program (conf/doc/journal.md has the rules). */
static void
test_vectors(void **state)
{
	static const struct {
		size_t count;
		const char *root;
	} vectors[] = {
		{ 1, "df3f619804a92fdb4057192dc43dd748ea778adc52bc498ce80524c014b81119" },
		{ 2, "b40eb2eb8d9fc25cf40bad928f2e92eb47ab843360c366fa1b0be02b0750fded" },
		{ 3, "6140eccb6a7618331c9add6136e4cb2761d342072c8587fa101e3bad430c23f6" },
		{ 7, "5f21cd3a7ac76884a11b084ef870b16e67527b4806c1956da26fd972e376ae8d" },
		{ 8, "7c921f3d2b91ecfd2cd19f0247a57ae8a97b52bd2cd64f633e636b7c686107e4" },
		{ 255, "aa026e61d3c7d9f925f3e333e0a1d47bd9719bda044c9695dea6a39d03f0b080" },
		{ 2000, "2295c7781e4e02be918bc055a1be5764450a8110d4866e82482ca65c60c15f8c" },
	};
	char hex[DIGEST_HEX_SIZE(LEN)];
	struct sha256 sha;
	uint8_t root[LEN];

	(void)state;
	assert_int_equal(sha256_init(&sha), 0);
	for (size_t v = 0; v < sizeof vectors / sizeof vectors[0]; v++) {
		struct tree tree = { 0 };

		for (size_t i = 0; i < vectors[v].count; i++)
			assert_int_equal(tree_add(&tree, &sha, leaves[i]), 0);
		assert_int_equal(tree_root(&tree, &sha, root), 0);
		assert_string_equal(digest_hex(span_make(root, LEN), hex), vectors[v].root);
	}
	sha256_fini(&sha);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_roots),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_wrong_climbs),
		cmocka_unit_test(test_vectors),
	};

	int failed;

	if (sha256_init(&naive_sha))
		return 1;
	leaves_make();
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	sha256_fini(&naive_sha);
	return failed;
}
