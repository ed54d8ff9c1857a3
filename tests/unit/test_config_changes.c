/* SPDX-License-Identifier: Apache-2.0 */
/* One configuration beside another: each difference is told by kind and name, and what only a start reads is told as such. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/config_rig.h"

/* The good file, and it with one text replaced: what is told of the difference. */
static void
compare(const char *from, const char *to, struct config_changes *changes, bool *follows)
{
	struct config *before, *after;
	struct buffer told;

	conf_write_file(conf_path, conf_good);
	assert_int_equal(conf_load(&before), 0);
	conf_write_changed(from, to);
	if (conf_load(&after) != 0)
		fail_msg("%s", (char *)conf_errors.data);
	buffer_init(&told, 1 << 16);
	config_compare(before, after, changes, &told);
	*follows = config_can_follow(before, after, &told);
	buffer_reset(&conf_errors);
	buffer_append(&conf_errors, told.data, told.len);
	buffer_append_byte(&conf_errors, 0);
	buffer_fini(&told);
	config_release(before);
	config_release(after);
}

static const struct {
	const char *from, *to, *told;
	struct config_changes changes;
} cases[] = {
	{ "peers = (", "# a remark\n  peers   = (", "", { 0 } },
	{ "may = [ \"send\" ];", "may = [ \"send\" ]; max_size = \"1M\";", "peer lis: changed\n",
	    { .peers = 1 } },
	{ "CN=a\\\\,b,O=CHU", "CN=a\\\\,b,O=CHV", "peer lis: changed\n", { .peers = 1 } },
	{ "peers = (\n",
	    "peers = ( { name = \"new\"; establishment = \"chu\"; may = [ ]; certificates = ( { spki = "
	    "\"sha256:"
	    "11112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF\"; } ); },\n",
	    "peer new: added\n", { .peers = 1 } },
	{ "{ name = \"ehpad\"; mode = \"test\"; }", "{ name = \"ehpad\"; mode = \"test\"; finess = [ ]; }",
	    "establishment ehpad: changed\n", { .establishments = 1 } },
	{ "port = 2575", "port = 2576", "listener mllp: changed\n", { .listeners = 1 } },
	{ "{ name = \"mllp\"", "{ name = \"other\"", "listener other: added\nlistener mllp: removed\n",
	    { .listeners = 2 } },
	{ "\"2h\"", "\"3h\"", "destination box: changed\n", { .destinations = 1 } },
	{ "go_on = true", "go_on = false", "route r: changed\n", { .routes = 1 } },
	{ "revocation = \"unchecked\"", "crls = \"crl.pem\"", "tls: changed\n", { 0 } },
	{ "{ name = \"r\"; when = { peer = \"l*\"; type = \"ORU\"; mode = \"test\"; }; to = [ \"box\" ]; "
	  "go_on = true; },\n  "
	  "{ name = \"rest\"; to = [ \"box\" ]; }",
	    "{ name = \"rest\"; when = { }; to = [ \"box\" ]; go_on = true; },\n  { name = \"r\"; when = { "
	    "peer = \"l*\"; type = "
	    "\"ORU\"; mode = \"test\"; }; to = [ \"box\" ]; go_on = true; }",
	    "route rest: changed\n", { .routes = 1 } },
};

static void
test_compare(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct config_changes changes;
		bool follows;

		compare(cases[i].from, cases[i].to, &changes, &follows);
		assert_string_equal((char *)conf_errors.data, cases[i].told);
		assert_memory_equal(&changes, &cases[i].changes, sizeof(changes));
		assert_true(follows);
	}
}

static void
test_order(void **state)
{
	const char *r = "{ name = \"r\"; when = { peer = \"l*\"; type = \"ORU\"; mode = \"test\"; }; to = [ "
			"\"box\" ]; go_on = true; }",
		   *s = "{ name = \"s\"; when = { peer = \"l*\"; }; to = [ \"box\" ]; }";
	struct config *before, *after;
	struct config_changes changes;
	char text[1024];
	struct buffer told;

	(void)state;
	(void)snprintf(text, sizeof(text), "%s, %s", r, s);
	conf_write_changed(r, text);
	assert_int_equal(conf_load(&before), 0);
	(void)snprintf(text, sizeof(text), "%s, %s", s, r);
	conf_write_changed(r, text);
	assert_int_equal(conf_load(&after), 0);
	buffer_init(&told, 1 << 16);
	config_compare(before, after, &changes, &told);
	assert_int_equal(changes.routes, 1);
	assert_true(span_eq_str(buffer_span(&told), "routes: in another order\n"));
	buffer_fini(&told);
	config_release(before);
	config_release(after);
}

static const struct {
	const char *settings, *name, *followed;
} fixed[] = {
	{ "state = \"/elsewhere\";", "state" },
	{ "control = { socket = \"s\"; };", "control.socket" },
	{ "control = { group = \"\"; };", "control.group" },
	{ "log = { file = \"f\"; };", "log.file" },
	{ "admin = { address = \"::1\"; };", "admin.address" },
	{ "admin = { port = 1; };", "admin.port" },
	{ "journal = { segment_size = \"1M\"; };", "journal.segment_size" },
	{ "journal = { retention = \"never\"; };", "journal.retention" },
	{ "journal = { disk_floor = \"2G\"; };", "journal.disk_floor" },
	{ "journal = { reserve = \"2M\"; };", "journal.reserve" },
	{ "limits = { workers = 9; };", "limits.workers" },
	{ "log = { level = \"debug\"; };", NULL, "log.level: changed\n" },
	{ "journal = { duplicate_window = \"1d\"; };", NULL, "journal.duplicate_window: changed\n" },
	{ "limits = { connections = 7; large_slots = 2; stop = \"1s\"; memory = \"1G\"; };", NULL,
	    "limits: changed\n" },
	{ "unrouted = \"refuse\";", NULL, "unrouted: changed\n" },
};

static void
test_follow(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(fixed) / sizeof(*fixed); i++) {
		struct config_changes changes;
		char text[256], want[128];
		bool follows;

		(void)snprintf(text, sizeof(text), "%s\nroutes =", fixed[i].settings);
		(void)snprintf(want, sizeof(want),
		    "%s is read at start only: restart the broker to change it\n",
		    fixed[i].name ? fixed[i].name : "");
		compare("routes =", text, &changes, &follows);
		assert_int_equal(follows, fixed[i].name == NULL);
		assert_string_equal((char *)conf_errors.data, fixed[i].name ? want : fixed[i].followed);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compare),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_follow),
	};

	return cmocka_run_group_tests(tests, conf_setup, conf_teardown);
}
