/* SPDX-License-Identifier: Apache-2.0 */
/* Destinations that are dialled, listeners without TLS; and what is valid and cannot be meant. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/config_rig.h"

static const char more[] =
    "peers = ( { name = \"old\"; establishment = \"ehpad\"; may = [ \"send\" ]; silent_after = \"90m\"; } "
    ");\n"
    "listeners = ( { name = \"old\"; protocol = \"mllp\"; address = \"::1\"; port = 2576; plain = \"old\"; } "
    ");\n"
    "destinations = ( { name = \"lyon\"; protocol = \"mllp\"; establishment = \"chu\"; address = "
    "\"hl7.example.org:2576\"; },\n"
    "  { name = \"six\"; protocol = \"mllp\"; establishment = \"ehpad\"; address = \"[2001:db8::1]:1\"; "
    "server_name = \"x.example\";\n"
    "    window = 8; connect = \"2s\"; acknowledgement = \"5s\"; retry_first = \"50ms\"; retry_longest = "
    "\"10s\"; max_age = \"1h\"; max_size = \"1%\"; } );\n"
    "routes = ( { name = \"out\"; to = [ \"six\" ]; } );\n";

static void
test_dialled(void **state)
{
	const struct config_destination *lyon, *six;
	struct config *c;

	(void)state;
	conf_write_changed("to = [ \"box\" ]; } );\n", "to = [ \"box\", \"lyon\" ]; go_on = true; } );\n");
	conf_write_more(more);
	if (conf_load(&c) != 0)
		fail_msg("%s", (char *)conf_errors.data);
	assert_int_equal(c->destination_count, 3);
	assert_string_equal(c->destinations[0].name, "box");
	lyon = config_destination(c, "lyon");
	six = config_destination(c, "six");
	assert_int_equal(c->destinations[0].kind, DESTINATION_INBOX);
	assert_int_equal(lyon->kind, DESTINATION_MLLP);
	assert_ptr_equal(lyon->establishment, &c->establishments[0]);
	assert_string_equal(lyon->dial.host, "hl7.example.org");
	assert_string_equal(lyon->dial.server_name, "hl7.example.org");
	assert_int_equal(lyon->dial.port, 2576);
	assert_int_equal(lyon->dial.window, 1);
	assert_int_equal(lyon->dial.connect_ms, 10000);
	assert_int_equal(lyon->dial.acknowledge_ms, 30000);
	assert_int_equal(lyon->dial.retry_first_ms, 1000);
	assert_int_equal(lyon->dial.retry_longest_ms, 300000);
	assert_int_equal(lyon->max_age_s, 7 * 86400);
	assert_int_equal(lyon->max_disk_percent, 20);
	assert_string_equal(six->dial.host, "2001:db8::1");
	assert_string_equal(six->dial.server_name, "x.example");
	assert_int_equal(six->dial.window, 8);
	assert_int_equal(six->dial.retry_first_ms, 50);
	assert_int_equal(six->max_age_s, 3600);
	assert_ptr_equal(c->routes[2].to[0], six);
	assert_ptr_equal(c->routes[1].to[1], lyon);
	assert_null(c->listeners[0].plain);
	assert_ptr_equal(c->listeners[1].plain, config_peer(c, "old"));
	assert_int_equal(config_peer(c, "old")->identity_count, 0);
	assert_int_equal(config_peer(c, "old")->silent_after_s, 5400);
	assert_int_equal(config_peer(c, "lis")->silent_after_s, 0);
	config_release(c);

	/* without its plain listener it is a peer that nobody could be */
	conf_write_file(conf_path, conf_good);
	conf_write_more("peers = ( { name = \"old\"; establishment = \"ehpad\"; may = [ \"send\" ]; } );\n");
	assert_int_equal(conf_load(&c), CONFIG_INVALID);
	conf_assert_error("peer old: certificates is missing or no list");
	assert_int_equal(conf_count_errors(), 1);
	assert_int_equal(unlink(conf_extra), 0);
	assert_int_equal(rmdir(conf_more), 0);
}

/* Each route that leads nowhere is told with its place, and no other. */
static void
test_warnings(void **state)
{
	static const char to_chu[] =
	    "destinations = ( { name = \"lyon\"; protocol = \"mllp\"; establishment = \"chu\"; address = "
	    "\"h:1\"; } );\n"
	    "routes = ( { name = \"good\"; when = { peer = \"lis\"; }; to = [ \"lyon\" ]; },\n"
	    "  { name = \"pattern\"; when = { peer = \"*\"; }; to = [ \"lyon\", \"box\" ]; },\n"
	    "  { name = \"bad\"; when = { peer = \"dui\"; }; to = [ \"lyon\", \"box\" ]; },\n"
	    "  { name = \"mode\"; when = { mode = \"test\"; }; to = [ \"lyon\" ]; } );\n";
	struct buffer told;
	struct config *c;

	(void)state;
	conf_write_changed("{ name = \"rest\"; to", "{ name = \"rest\"; when = { peer = \"lis\"; }; to");
	conf_write_more(to_chu);
	buffer_init(&told, 1 << 16);
	if (conf_load(&c) != 0)
		fail_msg("%s", (char *)conf_errors.data);
	config_warnings(c, &told);
	buffer_reset(&conf_errors);
	buffer_append(&conf_errors, told.data, told.len);
	buffer_append_byte(&conf_errors, 0);
	buffer_fini(&told);
	conf_assert_error(
	    "liaison.conf:15: route rest: nothing that it takes can enter box, which belongs to a test");
	conf_assert_error(
	    "10-more.conf:4: route bad: nothing that it takes can enter lyon, which belongs to a production");
	conf_assert_error("liaison.conf:14: route r: nothing that it takes can enter box");
	conf_assert_error("10-more.conf:5: route mode: nothing that it takes can enter lyon");
	assert_int_equal(conf_count_errors(), 4);
	config_release(c);
	assert_int_equal(unlink(conf_extra), 0);
	assert_int_equal(rmdir(conf_more), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dialled),
		cmocka_unit_test(test_warnings),
	};

	return cmocka_run_group_tests(tests, conf_setup, conf_teardown);
}
