/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the core's acts stand on: configurations that differ in their destinations, short words for what is done to a core over the
 * journal in memory, and its whole state as a text, so that two states can be compared.
 */
#pragma once

#include "tests/unit/fake_journal.h"

/* lilas (inbox) and chu (dialled) in production, essai (inbox) in test; "wide" has roses (dialled) too; "narrow" has lilas alone. */
extern const struct config rig_config, rig_wide, rig_narrow;

/* A core over what the journal holds, RECORD_STARTED committed. */
struct core *rig_core(const struct config *config);

/* One message of type "ADT" (lilas), "ORU" (lilas, chu, and roses where there is one), "MDM" (chu), "SIU" (nowhere: parked); from a test peer
 * when ${test} (essai). Not committed: its sequence is the newest. Its control id is new each time. */
void rig_submit(struct core *core, const char *type, bool test);

/* The same, committed; its sequence. */
uint64_t rig_send(struct core *core, const char *type);

/* Settle, not committed. */
void rig_settle(struct core *core, size_t number, uint64_t seq, enum outcome outcome);

/* Replay, committed: what became of it. */
struct replay rig_replay(struct core *core, uint64_t seq, size_t number);

/* How often a done was called, and the last error it told. */
extern unsigned rig_calls;
extern int rig_error;
void rig_done(void *arg, int error);

/* What waits (or is being settled) where, by name, whose bytes it has, and who is held by which record. */
void rig_state(const struct core *core, struct buffer *out);
void rig_same_state(const struct buffer *a, const struct buffer *b);

/* The decision of record ${seq}; its spans lie in ${arena} and in the record. */
struct decision rig_decision(uint64_t seq, struct arena *arena);
