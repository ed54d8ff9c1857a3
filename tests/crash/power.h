/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The power goes at every call of a scripted run of the journal, and at every call of the start after it: what the parts of the program
 * power tell each other.
 *
 * power_script.c runs the script and keeps what the disk held at each call; power_judge.c looks at what is left of it, through the
 * shipped recovery; power_sites.c tells the places of the code that sync, and can leave one out; power.c puts it together.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/store/journal.h"
#include "tests/unit/journal_rig.h"
#include "tests/unit/power_loss.h"

#define ATTEMPTS_MAX 400
#define POINTS_MAX   4000
#define TOLD_MAX     400

enum told {
	TOLD_NOTHING,
	TOLD_DONE,   /* with 0 */
	TOLD_FAILED, /* with an error */
};

/* One append that was taken; the same content may be tried again after it failed. */
struct attempt {
	uint64_t content, seq;
	size_t size;
	bool push;
	_Atomic enum told told;
	_Atomic bool dropped;	      /* retention was told to drop it */
	_Atomic bool purging, purged; /* to be overwritten; told to be */
};

/* What was promised at one moment, and what the disk held. */
struct point {
	struct power_state *state;
	size_t call;
	size_t attempts; /* the first of all */
	uint8_t told[ATTEMPTS_MAX];
	bool dropped[ATTEMPTS_MAX], purging[ATTEMPTS_MAX], purged[ATTEMPTS_MAX];
	uint32_t finished[TOLD_MAX]; /* segments said to be cut at their foot */
	size_t finished_count, removed_count, quarantined_count;
	bool opened;	    /* a start has ended: what it has read back is promised, too */
	uint64_t extra_seq; /* and, when not 0, the record put after it */
};

struct run {
	struct rig rig;
	struct attempt attempts[ATTEMPTS_MAX];
	_Atomic size_t attempt_count;
	size_t purges;
	struct point *points;
	size_t point_count, calls;
	size_t turn_syncs;		/* of the commits, those that the loop did itself */
	uint32_t removed[TOLD_MAX];	/* said in the log to be removed, in this order */
	char quarantined[TOLD_MAX][64]; /* said to be copied to quarantine/ */
	size_t removed_count, quarantined_count;
	const struct point *base; /* of a start again: the last one before it */
	/* of a start after the end */
	bool *replayed; /* by sequence: what it has read back */
	_Atomic bool opened;
	_Atomic uint64_t extra_seq;
};

#define PURGED_FACT  'x' /* what the facts of a purged record are overwritten with */
#define REPLAYED_MAX 1000
#define EXTRA	     ((uint64_t)900) /* the content of the record that is put after a start */
#define EXTRA_SIZE   100

/* The run that log lines are noted for; NULL: none. */
extern struct run *run_now;

/* The bytes of body of a content. */
size_t script_size(uint64_t content);

/* Run the script in a directory of its own, from its making to its second end, and keep every crash point. False: it got stuck. */
bool script_run(struct run *run, uint64_t seed);
/* Start the journal once more on what is left of ${point}, killed or without power, and keep every crash point of that. */
void script_restart(
    struct run *again, const struct run *run, const struct point *point, bool killed, uint64_t seed);
void run_free(struct run *run);

/* What ${variant} leaves of ${point}: does the shipped code find in it all that was promised? NULL, or what is wrong (static). */
const char *judge_point(
    const struct run *run, const struct point *point, enum power_variant variant, uint64_t seed);

/* The places of the product that sync. */
struct site {
	char name[100]; /* file:line */
	size_t hits;
};

/* All that were reached since the program began, by name; *${count} of them. Runs addr2line. */
const struct site *sites_seen(size_t *count);
/* From now on the site of this name does nothing. NULL: all do their work. */
void sites_skip(const char *name);
/* From now on every sync is done when the next one is asked for: what is told done is not on disk. */
void sites_late(bool late);
