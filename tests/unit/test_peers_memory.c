/* SPDX-License-Identifier: Apache-2.0 */
/* Another configuration of peers, with each allocation failing in turn: all is as before, and the next try succeeds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>

#include "broker/net/peers.h"
#include "tests/unit/failmalloc.h"

#define MANY 20

static void
test_prepare(void **state)
{
	static char names[MANY][8];
	static struct config_peer many[MANY];
	const struct config_peer first[] = { { .name = "peer-3", .max_size = 1 },
		{ .name = "other", .max_size = 2 } };
	const struct config one = { .peers = first, .peer_count = 2 },
			    two = { .peers = many, .peer_count = MANY };
	bool done = false;

	(void)state;
	for (int i = 0; i < MANY; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "peer-%d", i);
		many[i].name = names[i];
	}
	for (size_t n = 1; !done; n++) {
		struct peer *third, *other;
		struct peers *peers;
		int rc;

		assert_int_equal(peers_new(&peers, &one), 0);
		third = peers_find(peers, "peer-3");
		other = peers_find(peers, "other");
		failmalloc_at(n);
		rc = peers_prepare(peers, &two);
		done = failmalloc_off();
		assert_int_equal(rc, done ? 0 : -ENOMEM);
		assert_int_equal(peers_count(peers), 2);
		assert_ptr_equal(peers_find(peers, "peer-3"), third);
		assert_int_equal(third->config->max_size, 1);
		assert_null(peers_find(peers, "peer-4"));
		assert_int_equal(peers_prepare(peers, &two), 0);
		peers_reconfigure(peers, &two);
		assert_int_equal(peers_count(peers), MANY);
		assert_ptr_equal(peers_find(peers, "peer-3"), third);
		assert_ptr_equal(peers_at(peers, 3), third);
		assert_int_equal(third->config->max_size, 0);
		assert_false(peer_configured(other));
		peers_free(peers);
	}
}

static void
test_new(void **state)
{
	const struct config_peer first[] = { { .name = "a" }, { .name = "b" } };
	const struct config one = { .peers = first, .peer_count = 2 };
	bool done = false;

	(void)state;
	for (size_t n = 1; !done; n++) {
		struct peers *peers = NULL;
		int rc;

		failmalloc_at(n);
		rc = peers_new(&peers, &one);
		done = failmalloc_off();
		/* a metric without memory counts with the others */
		assert_true(rc == 0 || (rc == -ENOMEM && !done));
		if (rc == 0)
			peers_free(peers);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prepare),
		cmocka_unit_test(test_new),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
