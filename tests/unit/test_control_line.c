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
	assert_true(taken >= 3 && refused >= 5);
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
		cmocka_unit_test(test_deep_and_long_lines_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
