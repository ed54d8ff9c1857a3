/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of the control protocol: the vectors by their names, and what arguments become. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "broker/doors/control_line.h"
#include "codecs/buffer.h"

static void
test_vectors(void **state)
{
	DIR *directory = opendir(SOURCE_ROOT "/tests/vectors/control");
	struct dirent *entry;
	unsigned taken = 0, refused = 0;

	(void)state;
	assert_non_null(directory);
	while ((entry = readdir(directory)) != NULL) {
		char path[512], text[4096], problem[CONTROL_PROBLEM_MAX] = "";
		struct control_line line;
		FILE *file;
		size_t len;
		bool good;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), SOURCE_ROOT "/tests/vectors/control/%s", entry->d_name);
		file = fopen(path, "r");
		assert_non_null(file);
		len = fread(text, 1, sizeof(text), file);
		fclose(file);
		good = control_line_parse(&line, span_make(text, len), problem);
		if (good)
			control_line_fini(&line);
		if (good != (entry->d_name[0] == 'y'))
			fail_msg("%s: %s", entry->d_name, good ? "taken" : problem);
		assert_int_equal(problem[0] == '\0', good);
		taken += good;
		refused += !good;
	}
	closedir(directory);
	assert_true(taken >= 12 && refused >= 24);
}

static void
test_arguments_arrive(void **state)
{
	static const char text[] =
	    "{\"command\":\"search\",\"control\":\"caf\xc3\xa9\",\"peer\":\"chu\",\"type\":\"ORU^R01\","
	    "\"since\":17,\"refused\":true,\"after\":9,\"limit\":3}";
	char problem[CONTROL_PROBLEM_MAX];
	struct control_line line;

	(void)state;
	assert_true(control_line_parse(&line, span_str(text), problem));
	assert_int_equal(line.verb, CONTROL_SEARCH);
	assert_string_equal(line.control, "caf\xc3\xa9");
	assert_string_equal(line.peer, "chu");
	assert_string_equal(line.type, "ORU^R01");
	assert_string_equal(line.destination, "");
	assert_int_equal(line.since, 17);
	assert_true(line.refused);
	assert_int_equal(line.after, 9);
	assert_int_equal(line.limit, 3);
	control_line_fini(&line);
}

static void
test_an_act_arrives(void **state)
{
	static const char text[] =
	    "{\"command\":\"replay\",\"since\":1795000000,\"until\":1795003600,\"peer\":\"chu\","
	    "\"type\":\"ORU^R01\",\"destination\":\"chu-lyon\",\"to\":\"dmp\",\"after\":7,"
	    "\"last\":99,\"reason\":\"ticket 42\",\"yes\":true}";
	char problem[CONTROL_PROBLEM_MAX];
	struct control_line line;

	(void)state;
	assert_true(control_line_parse(&line, span_str(text), problem));
	assert_int_equal(line.verb, CONTROL_REPLAY);
	assert_int_equal(line.since, 1795000000);
	assert_int_equal(line.until, 1795003600);
	assert_string_equal(line.destination, "chu-lyon");
	assert_string_equal(line.to, "dmp");
	assert_int_equal(line.after, 7);
	assert_int_equal(line.last, 99);
	assert_string_equal(line.reason, "ticket 42");
	assert_true(line.yes);
	assert_false(line.dead);
	assert_int_equal(line.id_count, 0);
	control_line_fini(&line);
	assert_true(control_line_parse(
	    &line, span_str("{\"command\":\"drop\",\"ids\":[3,4711],\"destination\":\"a\"}"), problem));
	assert_int_equal(line.id_count, 2);
	assert_int_equal(control_line_id(&line, 0), 3);
	assert_int_equal(control_line_id(&line, 1), 4711);
	assert_false(line.yes);
	control_line_fini(&line);
}

/* A thousand ids are a list, one more is none. */
static void
test_as_many_ids_as_a_line_takes(void **state)
{
	char problem[CONTROL_PROBLEM_MAX];
	struct control_line line;
	struct buffer text;

	(void)state;
	for (size_t count = CONTROL_IDS_MAX; count <= CONTROL_IDS_MAX + 1; count++) {
		buffer_init(&text, CONTROL_LINE_MAX);
		buffer_append_str(&text, "{\"command\":\"drop\",\"destination\":\"a\",\"ids\":[");
		for (size_t i = 0; i < count; i++)
			buffer_printf(&text, "%s%llu", i ? "," : "", 9007199254730000ull + i);
		buffer_append_str(&text, "]}");
		assert_false(buffer_failed(&text));
		assert_int_equal(
		    control_line_parse(&line, buffer_span(&text), problem), count == CONTROL_IDS_MAX);
		if (count == CONTROL_IDS_MAX) {
			assert_int_equal(line.id_count, count);
			control_line_fini(&line);
		} else {
			assert_non_null(strstr(problem, "1 to 1000 ids"));
		}
		buffer_fini(&text);
	}
}

static void
test_deep_and_long_lines_are_refused(void **state)
{
	static char text[CONTROL_LINE_MAX + 2];
	char problem[CONTROL_PROBLEM_MAX];
	struct control_line line;

	(void)state;
	memset(text, '[', sizeof(text));
	assert_false(control_line_parse(&line, span_make(text, CONTROL_LINE_MAX), problem));
	assert_false(control_line_parse(&line, span_make(text, CONTROL_LINE_MAX + 1), problem));
	assert_non_null(strstr(problem, "65536"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_arguments_arrive),
		cmocka_unit_test(test_an_act_arrives),
		cmocka_unit_test(test_as_many_ids_as_a_line_takes),
		cmocka_unit_test(test_deep_and_long_lines_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
