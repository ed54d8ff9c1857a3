/* SPDX-License-Identifier: Apache-2.0 */
/* Every line ends and parses by the shipped grammar, whatever the values; drops are told; rotation loses nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/base/log.h"
#include "broker/base/metrics.h"

static char dir[] = "/tmp/liaison-log-XXXXXX";
static char path[64], old_path[64];
static regex_t grammar;

static void
read_grammar(void)
{
	char line[1024];
	FILE *f = fopen(SOURCE_ROOT "/conf/log-grammar.txt", "r");
	int done = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "line ", 5) == 0) {
			assert_int_equal(regcomp(&grammar, line + 5, REG_EXTENDED | REG_NOSUB), 0);
			done = 1;
		}
	}
	(void)fclose(f);
	assert_true(done);
}

/* The whole file, NUL-ended; the caller frees. */
static char *
slurp(const char *file)
{
	struct stat st;
	char *text;
	FILE *f = fopen(file, "r");

	assert_non_null(f);
	assert_int_equal(fstat(fileno(f), &st), 0);
	text = calloc(1, (size_t)st.st_size + 1);
	assert_non_null(text);
	assert_int_equal(fread(text, 1, (size_t)st.st_size, f), st.st_size);
	(void)fclose(f);
	return text;
}

/* Check each line against the grammar; gives how many there are. */
static size_t
check_lines(char *text)
{
	size_t lines = 0;

	while (*text) {
		char *end = strchr(text, '\n');

		assert_non_null(end);
		*end = '\0';
		assert_true(end - text < LOG_LINE_MAX);
		if (regexec(&grammar, text, 0, NULL, 0) != 0)
			fail_msg("does not parse: %s", text);
		text = end + 1;
		lines++;
	}
	return lines;
}

static int
setup(void **state)
{
	(void)state;
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/log", dir);
	(void)snprintf(old_path, sizeof(old_path), "%s/log.1", dir);
	read_grammar();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	regfree(&grammar);
	(void)unlink(path);
	(void)unlink(old_path);
	return rmdir(dir);
}

static void
test_line(void **state)
{
	struct log_line line;
	struct fault fault;
	char *text;

	(void)state;
	(void)unlink(path);
	assert_int_equal(log_open(path, LEVEL_INFO), 0);
	log_begin(&line, EVENT_RECEIVED);
	log_u64(&line, "id", 4711);
	log_text(&line, "peer", "chu-lyon");
	log_text(&line, "type", "ORU^R01");
	log_span(&line, "control", span_str("a \"b\"\\\n\r\t\x01\xc3\xa9"));
	log_text(&line, "empty", NULL);
	log_i64(&line, "n", INT64_MIN);
	log_commit(&line);
	log_begin(&line, EVENT_REFUSED);
	fault_set(&fault, FAULT_REQUIRED_FIELD, 3, "MSH-10", "MSH-10 must be there");
	fault.value = span_str("CANARY");
	log_fault(&line, &fault);
	log_errno(&line, -ENOSPC);
	log_commit(&line);
	log_close();
	text = slurp(path);
	assert_non_null(strstr(text,
	    " info  received id=4711 peer=chu-lyon type=ORU^R01 "
	    "control=\"a \\\"b\\\"\\\\\\n\\r\\t\\x01\\xc3\\xa9\" empty=\"\" n=-9223372036854775808\n"));
	assert_non_null(
	    strstr(text, " warning refused code=required-field path=MSH-10 why=\"MSH-10 must be there\" "
			 "error=ENOSPC\n"));
	assert_null(strstr(text, "CANARY"));
	assert_int_equal(check_lines(text), 2);
	free(text);
}

/* Values of every byte and every length around the cut; lines filled past their end. */
static void
test_cut(void **state)
{
	struct log_line line;
	uint8_t value[400];
	char *text;

	(void)state;
	(void)unlink(path);
	assert_int_equal(log_open(path, LEVEL_DEBUG), 0);
	for (unsigned byte = 0; byte < 256; byte++) {
		memset(value, (int)byte, sizeof(value));
		for (size_t len = 0; len < 200; len += byte == 'x' || byte == 0 ? 1 : 63) {
			log_begin(&line, EVENT_CONNECTED);
			for (int i = 0; i < 9; i++)
				log_span(&line, "v", span_make(value, len));
			log_text(&line, "last", "one");
			log_commit(&line);
		}
	}
	log_close();
	text = slurp(path);
	assert_non_null(strstr(text, "xxx... v=xxx"));
	assert_non_null(strstr(text, " cut=1\n"));
	assert_null(strstr(text, "cut=1 "));
	assert_null(strstr(text, "cut=1 last"));
	(void)check_lines(text);
	free(text);
	/* what is not cut is whole, what is cut says so: at the very border */
	for (size_t len = LOG_VALUE_MAX - 1; len <= LOG_VALUE_MAX + 1; len++) {
		memset(value, 'y', sizeof(value));
		(void)unlink(path);
		assert_int_equal(log_open(path, LEVEL_INFO), 0);
		log_begin(&line, EVENT_CONNECTED);
		log_span(&line, "v", span_make(value, len));
		log_commit(&line);
		log_close();
		text = slurp(path);
		assert_int_equal(
		    strspn(strstr(text, "v=") + 2, "y."), len > LOG_VALUE_MAX ? (size_t)LOG_VALUE_MAX : len);
		assert_int_equal(strstr(text, "y...\n") != NULL, len > LOG_VALUE_MAX);
		free(text);
	}
}

static void
test_level_mode_closed(void **state)
{
	struct log_line line;
	struct stat st;
	mode_t before = umask(077);
	char *text;

	(void)state;
	(void)unlink(path);
	assert_int_equal(log_open("/nonexistent/log", LEVEL_INFO), -ENOENT);
	assert_int_equal(log_open(path, LEVEL_WARNING), 0);
	assert_true(log_wants(LEVEL_ERROR));
	assert_false(log_wants(LEVEL_INFO));
	log_begin(&line, EVENT_RECEIVED);
	log_u64(&line, "id", 1);
	log_commit(&line);
	log_begin(&line, EVENT_PARKED);
	log_commit(&line);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	log_close();
	log_begin(&line, EVENT_PARKED);
	log_commit(&line);
	log_close();
	log_reopen();
	text = slurp(path);
	assert_int_equal(check_lines(text), 1);
	free(text);
	/* appended to, and the mode the operator gave is kept */
	assert_int_equal(chmod(path, 0600), 0);
	assert_int_equal(log_open(path, LEVEL_INFO), 0);
	log_begin(&line, EVENT_READY);
	log_commit(&line);
	log_close();
	text = slurp(path);
	assert_int_equal(check_lines(text), 2);
	free(text);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	(void)umask(before);
}

#define THREADS 4
#define EACH	20000

static void *
chatter(void *arg)
{
	struct log_line line;

	for (int i = 0; i < EACH; i++) {
		log_begin(&line, EVENT_ANSWERED);
		log_u64(&line, "thread", (uint64_t)(uintptr_t)arg);
		log_i64(&line, "id", i);
		log_commit(&line);
	}
	return NULL;
}

/* Four threads and a rotation in between: what was not counted as dropped is there, each thread's lines in order. */
static void
test_threads_and_rotation(void **state)
{
	pthread_t threads[THREADS];
	uint64_t dropped = log_dropped();
	size_t lines;
	char *text, *old;
	long next[THREADS] = { 0 };

	(void)state;
	(void)unlink(path);
	assert_int_equal(log_open(path, LEVEL_INFO), 0);
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, chatter, (void *)i), 0);
	(void)usleep(10000);
	assert_int_equal(rename(path, old_path), 0);
	log_reopen();
	for (int i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	log_close();
	old = slurp(old_path);
	text = slurp(path);
	/* Line by line: searched or scanned as one, so long a text would be measured anew each time. */
	for (char *at = old, *end; (end = strchr(at, '\n')); at = end + 1) {
		long thread, id;

		*end = '\0';
		at = strstr(at, " thread=");
		if (at) {
			assert_int_equal(sscanf(at, " thread=%ld id=%ld", &thread, &id), 2);
			assert_true(thread >= 0 && thread < THREADS && id >= next[thread]);
			next[thread] = id + 1;
		}
		*end = '\n';
	}
	lines = check_lines(old) + check_lines(text);
	dropped = log_dropped() - dropped;
	assert_true(lines + dropped >= (size_t)THREADS * EACH);
	if (dropped == 0)
		assert_int_equal(lines, THREADS * EACH);
	free(old);
	free(text);
}

/* A disk that takes no more (a limit on the file's size): no half line stays, drops are told once there is room again. */
static void
test_write_failure(void **state)
{
	struct rlimit before, small;
	struct log_line line;
	uint64_t dropped = log_dropped();
	int64_t counted;
	char *text;

	(void)state;
	(void)unlink(path);
	counted = metric_value(metric_series(METRIC_LOG_DROPPED, NULL));
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	small = before;
	small.rlim_cur = 150; /* one line and a part of the next */
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(log_open(path, LEVEL_INFO), 0);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	for (int i = 0; i < 10; i++) {
		log_begin(&line, EVENT_RECEIVED);
		log_text(&line, "pad", "01234567890123456789012345678901234567890123456789");
		log_commit(&line);
	}
	for (int i = 0; i < 1000 && log_dropped() == dropped; i++)
		(void)usleep(5000);
	(void)usleep(20000);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	log_begin(&line, EVENT_READY);
	log_commit(&line);
	log_close();
	text = slurp(path);
	assert_non_null(strstr(text, " warning log-dropped lines="));
	assert_non_null(strstr(text, " info  ready\n"));
	assert_true(log_dropped() - dropped >= 9);
	assert_int_equal(metric_value(metric_series(METRIC_LOG_DROPPED, NULL)) - counted,
	    (int64_t)(log_dropped() - dropped));
	(void)check_lines(text);
	free(text);
}

static void
test_reopen_failure(void **state)
{
	struct log_line line;
	char *text;

	(void)state;
	(void)unlink(path);
	assert_int_equal(log_open(path, LEVEL_INFO), 0);
	assert_int_equal(rename(path, old_path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	log_reopen();
	log_begin(&line, EVENT_READY);
	log_commit(&line);
	log_close();
	assert_int_equal(rmdir(path), 0);
	text = slurp(old_path);
	assert_non_null(strstr(text, " warning log-reopen-failed error=EISDIR\n"));
	assert_int_equal(check_lines(text), 2);
	free(text);
}

/* A log whose last line a kill cut short: the next line is a line of its own. */
static void
test_after_a_kill(void **state)
{
	static const char *const before[] = { "2026-11-21T18:57:11.084+01:00 info  rea", "", "whole\n" };
	static const char *const there[] = { "rea\n20", "20", "whole\n20" };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct log_line line;
		char *text, *found;
		FILE *f;

		(void)unlink(path);
		f = fopen(path, "w");
		assert_non_null(f);
		assert_true(fputs(before[i], f) >= 0);
		assert_int_equal(fclose(f), 0);
		assert_int_equal(log_open(path, LEVEL_INFO), 0);
		log_begin(&line, EVENT_READY);
		log_commit(&line);
		log_close();
		text = slurp(path);
		found = strstr(text, there[i]);
		assert_non_null(found);
		assert_null(strstr(text, "\n\n"));
		assert_int_not_equal(text[0], '\n');
		free(text);
	}
}

static void
test_catalogue(void **state)
{
	(void)state;
	for (int i = 0; i < EVENT_COUNT; i++) {
		const struct event_info *info = event_info((enum log_event)i);

		assert_true(info->name[0] && info->sentence[0] && info->action[0]);
		for (int j = 0; j < i; j++)
			assert_string_not_equal(info->name, event_info((enum log_event)j)->name);
		/* warnings and errors that ask nothing of anybody are noise */
		if (info->level == LEVEL_ERROR)
			assert_string_not_equal(info->action, "none");
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_level_mode_closed),
		cmocka_unit_test(test_threads_and_rotation),
		cmocka_unit_test(test_write_failure),
		cmocka_unit_test(test_reopen_failure),
		cmocka_unit_test(test_after_a_kill),
		cmocka_unit_test(test_catalogue),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
