/* SPDX-License-Identifier: Apache-2.0 */
/* Who is there, over simulated hours: the lines are counted and read. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/base/log.h"
#include "broker/base/metrics.h"
#include "broker/net/peers.h"
#include "broker/net/presence.h"

#define SECOND UINT64_C(1000000)
#define MINUTE (60 * SECOND)
#define HOUR   (3600 * SECOND)

struct scene {
	char path[64];
	struct config config;
	struct config_peer config_peers[3];
	struct peers *peers;
	struct presence *presence;
	char *log;
};

static uint64_t now_us, waiting;

static uint64_t
simulated(void)
{
	return now_us;
}

static void
queued(void *arg, const char *destination, uint64_t *count, uint64_t *oldest_s)
{
	(void)arg;
	(void)destination;
	*count = waiting;
	*oldest_s = waiting ? 49 : 0;
}

static int
setup(void **state)
{
	struct scene *scene = calloc(1, sizeof(*scene));
	struct presence_options options = { .queued = queued, .now_us = simulated };
	int fd;

	assert_non_null(scene);
	strcpy(scene->path, "/tmp/liaison-presence-XXXXXX");
	fd = mkstemp(scene->path);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(log_open(scene->path, LEVEL_DEBUG), 0);
	scene->config_peers[0] = (struct config_peer){ .name = "chu", .may_send = true };
	scene->config_peers[1] = (struct config_peer){ .name = "labo", .may_send = true };
	scene->config_peers[2] =
	    (struct config_peer){ .name = "dui", .may_read = true, .silent_after_s = 60 };
	scene->config = (struct config){ .peers = scene->config_peers, .peer_count = 3 };
	assert_int_equal(peers_new(&scene->peers, &scene->config), 0);
	options.peers = scene->peers;
	now_us = HOUR;
	waiting = 0;
	assert_int_equal(presence_new(&scene->presence, &options), 0);
	*state = scene;
	return 0;
}

static int
teardown(void **state)
{
	struct scene *scene = *state;

	presence_free(scene->presence);
	peers_free(scene->peers);
	log_close();
	unlink(scene->path);
	free(scene->log);
	free(scene);
	return 0;
}

/* Let ${us} pass, a tick a second. */
static void
pass(struct scene *scene, uint64_t us)
{
	for (uint64_t end = now_us + us; now_us < end; now_us += SECOND)
		presence_tick(scene->presence);
}

/* What was logged, whole; nothing more can be logged afterwards. */
static void
read_log(struct scene *scene)
{
	FILE *f;
	long size;

	log_close();
	f = fopen(scene->path, "r");
	assert_non_null(f);
	assert_int_equal(fseek(f, 0, SEEK_END), 0);
	size = ftell(f);
	assert_true(size >= 0);
	rewind(f);
	scene->log = calloc(1, (size_t)size + 1);
	assert_non_null(scene->log);
	assert_int_equal(fread(scene->log, 1, (size_t)size, f), size);
	(void)fclose(f);
}

static size_t
lines(const struct scene *scene, const char *part)
{
	size_t count = 0;

	for (const char *at = scene->log; (at = strstr(at, part)); at += strlen(part))
		count++;
	return count;
}

static int64_t
metric(enum metric id, const char *label)
{
	return metric_value(metric_series(id, label));
}

/* Tries every second for an hour, with another reason each minute: one line down, one up, eleven summaries. */
static void
test_two_lines_a_state(void **state)
{
	struct scene *scene = *state;
	char reason[32];

	waiting = 128;
	presence_up(scene->presence, "dmp");
	for (unsigned i = 0; i < 3600; i++) {
		(void)snprintf(reason, sizeof(reason), "refused %u", i / 60);
		(void)presence_down(scene->presence, "dmp", reason);
		pass(scene, SECOND);
	}
	assert_int_equal(metric(METRIC_DESTINATION_DOWN, "dmp"), 1);
	waiting = 1843;
	presence_up(scene->presence, "dmp");
	presence_up(scene->presence, "dmp");
	pass(scene, HOUR / 2);
	assert_int_equal(metric(METRIC_DESTINATION_DOWN, "dmp"), 0);
	assert_int_equal(metric(METRIC_DESTINATION_CHANGES, "dmp"), 2);
	read_log(scene);
	assert_int_equal(lines(scene, "\n"), 2 + 11);
	assert_int_equal(lines(scene, " error destination-down destination=dmp since="), 1);
	assert_int_equal(lines(scene, " queued=128 oldest_s=49 reason=\"refused 0\"\n"), 1);
	assert_int_equal(lines(scene, " destination-up destination=dmp down_s=3600 draining=1843\n"), 1);
	assert_int_equal(lines(scene, " still-down down=1 silent=0 flapping=0 queued=128 who=\"dmp "), 11);
	assert_int_equal(lines(scene, "who=\"dmp 55m\""), 1);
}

/* A thousand bounces, some a second, some a minute: a handful of lines and the summaries. */
static void
test_a_thousand_bounces(void **state)
{
	struct scene *scene = *state;
	size_t summaries, told = 0;

	for (unsigned i = 0; i < 1000; i++) {
		told += presence_down(scene->presence, "dmp", "connection refused");
		pass(scene, i % 7 == 6 ? MINUTE : SECOND);
		presence_up(scene->presence, "dmp");
		pass(scene, SECOND);
	}
	assert_int_equal(told, 2); /* down, and flapping: the others are not the caller's to tell either */
	assert_int_equal(metric(METRIC_DESTINATION_CHANGES, "dmp"), 2 + 2000);
	pass(scene, HOUR);
	read_log(scene);
	summaries = lines(scene, " still-down down=0 silent=0 flapping=1 queued=0 who=\"dmp flapping ");
	assert_true(summaries >= (now_us - 2 * HOUR) / PRESENCE_SUMMARY_US - 1);
	assert_true(summaries <= (now_us - 2 * HOUR) / PRESENCE_SUMMARY_US + 1);
	assert_int_equal(lines(scene, " destination-down "), 1);
	assert_int_equal(lines(scene, " destination-up destination=dmp down_s=1 "), 1);
	assert_int_equal(
	    lines(scene,
		" flapping destination=dmp changes=3 seconds=2 now=down reason=\"connection refused\"\n"),
	    1);
	assert_int_equal(lines(scene, " destination-up destination=dmp draining=0 changes=2000\n"), 1);
	assert_int_equal(lines(scene, "\n") - summaries, 4);
}

/* It stays down at the end of its bounces: that is told again, as it stands. */
static void
test_calm_and_down(void **state)
{
	struct scene *scene = *state;

	for (unsigned i = 0; i < 5; i++) {
		(void)presence_down(scene->presence, "dmp", "timeout");
		presence_up(scene->presence, "dmp");
	}
	(void)presence_down(scene->presence, "dmp", "certificate expired");
	pass(scene, 6 * MINUTE);
	read_log(scene);
	assert_int_equal(lines(scene, " destination-down "), 2);
	assert_int_equal(lines(scene, " reason=\"certificate expired\" changes=11\n"), 1);
	assert_int_equal(lines(scene, " destination-up "), 1);
}

static void
test_silence(void **state)
{
	struct scene *scene = *state;
	struct peer *chu = peers_at(scene->peers, 0);

	scene->config_peers[0].silent_after_s = 3600;
	presence_tick(scene->presence);
	pass(scene, HOUR / 2);
	presence_heard(scene->presence, chu);
	pass(scene, HOUR - SECOND);
	assert_int_equal(metric(METRIC_PEER_SILENT, "chu"), 0);
	pass(scene, HOUR);
	assert_int_equal(metric(METRIC_PEER_SILENT, "chu"), 1);
	presence_heard(scene->presence, chu);
	presence_heard(scene->presence, chu);
	assert_int_equal(metric(METRIC_PEER_SILENT, "chu"), 0);
	pass(scene, HOUR / 2);
	read_log(scene);
	assert_int_equal(lines(scene, " peer-silent peer=chu since="), 1);
	assert_int_equal(lines(scene, " silent_s=3600\n"), 1);
	assert_int_equal(lines(scene, " peer-heard peer=chu silent_s=7199\n"), 1);
	assert_int_equal(
	    lines(scene, " still-down down=0 silent=1 flapping=0 queued=0 who=\"chu silent "), 11);
	assert_int_equal(lines(scene, "\n"), 2 + 11);
	assert_int_equal(lines(scene, "labo") + lines(scene, "dui"), 0);
}

/* A reload that asks no more for a peer's messages ends its silence without a word. */
static void
test_silence_not_asked_any_more(void **state)
{
	struct scene *scene = *state;

	scene->config_peers[0].silent_after_s = 3600;
	presence_tick(scene->presence);
	pass(scene, HOUR + SECOND);
	scene->config_peers[0].silent_after_s = 0;
	pass(scene, HOUR);
	assert_int_equal(metric(METRIC_PEER_SILENT, "chu"), 0);
	read_log(scene);
	assert_int_equal(lines(scene, "\n"), 1);
}

/* A reload that takes the peer away, and another that brings it back: it is silent only after its time from then. */
static void
test_silence_of_one_that_is_gone(void **state)
{
	struct scene *scene = *state;
	struct config without = scene->config;
	struct peer *chu = peers_at(scene->peers, 0);

	scene->config_peers[0].silent_after_s = 3600;
	pass(scene, HOUR + 2 * SECOND);
	assert_int_equal(metric(METRIC_PEER_SILENT, "chu"), 1);
	without.peers++;
	without.peer_count--;
	assert_int_equal(peers_prepare(scene->peers, &without), 0);
	peers_reconfigure(scene->peers, &without);
	assert_int_equal(metric(METRIC_PEER_SILENT, "chu"), 0);
	pass(scene, HOUR);
	assert_int_equal(peers_prepare(scene->peers, &scene->config), 0);
	peers_reconfigure(scene->peers, &scene->config);
	assert_ptr_equal(peers_at(scene->peers, 0), chu);
	pass(scene, HOUR - SECOND);
	assert_int_equal(metric(METRIC_PEER_SILENT, "chu"), 0);
	pass(scene, 2 * SECOND);
	assert_int_equal(metric(METRIC_PEER_SILENT, "chu"), 1);
	read_log(scene);
	assert_int_equal(lines(scene, " peer-silent peer=chu since="), 2);
	assert_int_equal(lines(scene, " silent_s=3600\n"), 2);
	assert_int_equal(lines(scene, "\n"), 2);
}

/* Connections that had no lines are told by their number, once. */
static void
test_bounces(void **state)
{
	struct scene *scene = *state;
	struct peer *labo = peers_at(scene->peers, 1);

	for (unsigned i = 0; i < 1000; i++)
		(void)bounces_tell(&labo->bounces, now_us);
	pass(scene, HOUR);
	read_log(scene);
	assert_int_equal(lines(scene, " bounced peer=labo again=980\n"), 1);
	assert_int_equal(lines(scene, "\n"), 1);
}

/* Sixty down at once: each has its line, the summary is one and names some, and its bound holds for the longest names. */
static void
test_many(void **state)
{
	struct scene *scene = *state;
	char name[80], *who;
	size_t named = 0;

	for (unsigned i = 0; i < 60; i++) {
		(void)snprintf(name, sizeof(name), "etablissement-%02u%s", i,
		    i == 58 ? "-au-nom-bien-plus-long-que-tout-ce-que-l-on-voit-d-habitude" : "");
		(void)presence_down(scene->presence, name, "connection refused");
	}
	pass(scene, 6 * MINUTE);
	presence_forget(scene->presence, "etablissement-07");
	presence_forget(scene->presence, "nobody");
	pass(scene, 5 * MINUTE);
	read_log(scene);
	assert_int_equal(lines(scene, " destination-down "), 60);
	assert_int_equal(lines(scene, " still-down down=60 "), 1);
	assert_int_equal(lines(scene, " still-down down=59 "), 1);
	who = strstr(scene->log, "who=\"");
	assert_non_null(who);
	who[strcspn(who, "\n")] = '\0';
	for (const char *at = who; (at = strstr(at, "etablissement-")); at++)
		named++;
	assert_true(named >= 2);
	(void)snprintf(name, sizeof(name), ", and %zu more\"", 60 - named);
	assert_non_null(strstr(who, name));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_two_lines_a_state, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_thousand_bounces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_calm_and_down, setup, teardown),
		cmocka_unit_test_setup_teardown(test_silence, setup, teardown),
		cmocka_unit_test_setup_teardown(test_silence_not_asked_any_more, setup, teardown),
		cmocka_unit_test_setup_teardown(test_silence_of_one_that_is_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bounces, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
