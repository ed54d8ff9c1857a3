/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The power goes: at every call of scripted runs of the journal, in three ways each, and again while the journal starts on what was left.
 *
 * With --sites the same with each sync of the product left out in turn, and with syncs that come too late: every one must be convicted, or
 * the test tests nothing. Prints counts; exit 0: nothing promised was lost (and every site was convicted), 1: not, 2: wrong usage.
 */
#include <dirent.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/crash/power.h"

#define ROUNDS_MAX  6 /* runs until a missing sync must have shown */
#define RUNS_MAX    10000
#define WRONG_SHOWN 5

struct counts {
	size_t points, images, restarts, restart_points, restart_images, wrong, turn_syncs;
	bool stuck;
};

static bool quiet;

static void
tell_wrong(struct counts *counts, uint64_t seed, const char *where, const char *why)
{
	if (!quiet && counts->wrong < WRONG_SHOWN)
		printf("run %llu%s: %s\n", (unsigned long long)seed, where, why);
	counts->wrong++;
}

/* The start on ${point} is cut at each of its calls. */
static void
restart(const struct run *run, const struct point *point, bool killed, uint64_t seed, struct counts *counts)
{
	struct run *again = calloc(1, sizeof *again);

	script_restart(again, run, point, killed, seed);
	counts->restarts++;
	for (size_t i = 0; i < again->point_count; i++) {
		const char *why = judge_point(again, &again->points[i],
		    (enum power_variant)((i + point->call) % POWER_VARIANTS), seed + i);

		counts->restart_points++;
		counts->restart_images++;
		if (why)
			tell_wrong(counts, seed,
			    killed ? ", killed, then the start" : ", torn, then the start", why);
	}
	run_free(again);
}

/* One run and all that can be left of it; with ${early} only until something is found wrong. */
static void
round_run(uint64_t seed, bool early, struct counts *counts)
{
	struct run *run = calloc(1, sizeof *run);

	if (!script_run(run, seed)) {
		printf(
		    "run %llu: the script got stuck after %zu calls\n", (unsigned long long)seed, run->calls);
		counts->stuck = true;
	}
	counts->turn_syncs += run->turn_syncs;
	for (size_t i = 0; i < run->point_count && !(early && counts->wrong); i++) {
		const struct point *point = &run->points[i];

		counts->points++;
		for (int variant = 0; variant < POWER_VARIANTS; variant++) {
			const char *why =
			    judge_point(run, point, (enum power_variant)variant, seed * 10007 + i);

			counts->images++;
			if (why)
				tell_wrong(counts, seed, "", why);
		}
		restart(run, point, i % 2, seed * 10007 + i, counts);
	}
	run_free(run);
}

static void
counts_add(struct counts *to, const struct counts *from)
{
	to->points += from->points;
	to->images += from->images;
	to->restarts += from->restarts;
	to->restart_points += from->restart_points;
	to->wrong += from->wrong;
	to->turn_syncs += from->turn_syncs;
	to->stuck |= from->stuck;
}

/* Runs of seeds ${seed}, ${seed} + 1 ..., each in a process of its own, ${jobs} at a time, until there were ${points} of them. */
static int
points_run(size_t points, uint64_t seed, size_t jobs)
{
	struct counts counts = { 0 }, *shared;
	size_t runs = 0, running = 0;
	int status;

	shared =
	    mmap(NULL, sizeof *shared * RUNS_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return 1;
	while (running > 0 || (counts.points < points && !counts.stuck && runs < RUNS_MAX)) {
		if (running < jobs && counts.points < points && !counts.stuck && runs < RUNS_MAX) {
			fflush(stdout);
			if (fork() == 0) {
				round_run(seed + runs, false, &shared[runs]);
				fflush(stdout);
				_exit(0);
			}
			runs++;
			running++;
			continue;
		}
		wait(&status);
		running--;
		counts.stuck |= !WIFEXITED(status) || WEXITSTATUS(status) != 0;
		counts.points = 0; /* of those that ended and of those under way */
		for (size_t i = 0; i < runs; i++)
			counts.points += shared[i].points;
	}
	counts.points = 0;
	for (size_t i = 0; i < runs; i++)
		counts_add(&counts, &shared[i]);
	printf("%zu runs, %zu crash points x %d variants = %zu images; %zu starts cut at %zu points; "
	       "%zu syncs by the loop itself; %zu wrong%s\n",
	    runs, counts.points, POWER_VARIANTS, counts.images, counts.restarts, counts.restart_points,
	    counts.turn_syncs, counts.wrong, counts.stuck ? ", and one got stuck or crashed" : "");
	return counts.wrong || counts.stuck;
}

/* In a process of its own, with one thing broken: 0 when it was found out. */
static pid_t
convict(const char *site, bool late, uint64_t seed)
{
	struct counts counts = { 0 };
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid != 0)
		return pid;
	quiet = true;
	if (site)
		sites_skip(site);
	sites_late(late);
	for (uint64_t i = 0; i < ROUNDS_MAX && !counts.wrong && !counts.stuck; i++)
		round_run(seed + i, true, &counts);
	_exit(counts.wrong ? 0 : counts.stuck ? 2 : 1);
}

static bool
is_seen(const struct site *sites, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(sites[i].name, name) == 0)
			return true;
	return false;
}

/* Every call of disk_sync* in ${path} must have been reached. The number of those that were not. */
static size_t
source_check(const char *path, const char *name, const struct site *sites, size_t count)
{
	char line[400], place[200];
	size_t number = 0, missed = 0;
	FILE *file = fopen(path, "r");

	if (!file)
		return 1;
	while (fgets(line, sizeof line, file)) {
		const char *call = strstr(line, "disk_sync");

		number++;
		if (!call || line[0] == ' ' || line[0] == '/' || strncmp(line, "int", 3) == 0)
			continue;
		snprintf(place, sizeof place, "broker/store/%.100s:%zu", name, number);
		if (!is_seen(sites, count, place)) {
			printf("%-36s never reached by the script\n", place);
			missed++;
		}
	}
	fclose(file);
	return missed;
}

static size_t
sources_check(const struct site *sites, size_t count)
{
	const char *folder = SOURCE_ROOT "/broker/store";
	DIR *dir = opendir(folder);
	struct dirent *entry;
	char path[500];
	size_t missed = 0;

	if (!dir) {
		printf("%s is not there\n", folder);
		return 1;
	}
	while ((entry = readdir(dir))) {
		size_t len = strlen(entry->d_name);

		if (len < 3 || strcmp(entry->d_name + len - 2, ".c") != 0 ||
		    strcmp(entry->d_name, "disk.c") == 0)
			continue;
		snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
		missed += source_check(path, entry->d_name, sites, count);
	}
	closedir(dir);
	return missed;
}

static int
sites_run(uint64_t seed, size_t jobs)
{
	struct counts counts = { 0 };
	const struct site *sites;
	size_t count, missed, convicted = 0, running = 0, next = 0;
	const char *names[102];
	pid_t pids[102];

	round_run(seed, false, &counts);
	if (counts.wrong || counts.stuck) {
		printf("with nothing left out %zu of %zu images are wrong\n", counts.wrong,
		    counts.images + counts.restart_images);
		return 1;
	}
	sites = sites_seen(&count);
	missed = sources_check(sites, count);
	for (size_t i = 0; i < count; i++)
		names[i] = sites[i].name;
	names[count] = "every sync one too late";
	while (next <= count || running > 0) {
		int status;
		pid_t ended;

		if (next <= count && running < jobs) {
			pids[next] = convict(next < count ? names[next] : NULL, next == count, seed);
			next++;
			running++;
			continue;
		}
		ended = wait(&status);
		running--;
		for (size_t i = 0; i < next; i++)
			if (pids[i] == ended) {
				bool found = WIFEXITED(status) && WEXITSTATUS(status) == 0;

				convicted += found;
				printf("%-36s %s\n", names[i],
				    found ? "left out: convicted" : "left out: NOT CONVICTED");
			}
	}
	printf("%zu of %zu convicted, %zu places not reached\n", convicted, count + 1, missed);
	return convicted != count + 1 || missed > 0;
}

int
main(int argc, char **argv)
{
	static const struct option options[] = { { "points", required_argument, NULL, 'p' },
		{ "seed", required_argument, NULL, 's' }, { "sites", no_argument, NULL, 'x' },
		{ "jobs", required_argument, NULL, 'j' }, { NULL, 0, NULL, 0 } };
	size_t points = 300, jobs = 4;
	uint64_t seed = 1;
	bool sites = false;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (c) {
		case 'p':
			points = strtoul(optarg, NULL, 10);
			break;
		case 's':
			seed = strtoull(optarg, NULL, 10);
			break;
		case 'x':
			sites = true;
			break;
		case 'j':
			jobs = strtoul(optarg, NULL, 10);
			break;
		default:
			fprintf(stderr, "usage: power [--points N] [--seed S] [--jobs N] | power --sites "
					"[--jobs N] [--seed S]\n");
			return 2;
		}
	}
	return sites ? sites_run(seed, jobs ? jobs : 1) : points_run(points, seed, jobs ? jobs : 1);
}
