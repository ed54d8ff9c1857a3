/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ceiling's log: records into segments that a thread of its own zero-fills ahead, made durable by fdatasync.
 *
 * No index, no chain, no recovery: only what any durable log must do. Old segments are unlinked. Two ways to commit: inline, on the
 * caller's thread; or by a thread of its own, which takes what was gathered while the last batch was synced.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ceiling_log;

/* In directory ${directory}; ${thread}: commits happen on a thread that writes to the eventfd ${wake} when one is done. Exits when it cannot. */
struct ceiling_log *ceiling_log_new(const char *directory, bool thread, int wake);
void ceiling_log_free(struct ceiling_log *log);

/* Append one record to the batch being gathered: a header and ${len} bytes. */
void ceiling_log_append(struct ceiling_log *log, const uint8_t header[64], const void *bytes, size_t len);

/* Bytes gathered and not handed over. */
size_t ceiling_log_gathered(const struct ceiling_log *log);

/* Inline: write and sync the batch; on return it is durable. */
void ceiling_log_commit(struct ceiling_log *log);

/* Thread: hand the batch over if the thread is idle; false when it is not (or nothing is gathered). */
bool ceiling_log_hand_over(struct ceiling_log *log);

/* Thread: true, once, when the batch handed over last is durable. */
bool ceiling_log_done(struct ceiling_log *log);

/* Median of the syncs so far, in microseconds. */
uint64_t ceiling_log_sync_p50(const struct ceiling_log *log);
