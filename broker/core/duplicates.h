/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The duplicate window: which accepted message had this key.
 *
 * 16 bytes a message (64 bits of the key's keyed hash, and the sequence), in 256 tables that grow one at a time, so that no growth holds the
 * loop for long. A hit is a suspicion: the caller confirms it on the record. Entries older than the window are forgotten as tables are
 * rebuilt and are never given.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct duplicates;

int duplicates_new(struct duplicates **duplicatesp) __attribute__((warn_unused_result));
void duplicates_free(struct duplicates *duplicates);

/* Remember that ${key} (16 bytes) is message ${seq}; an older message of the same key is replaced. 0 or -ENOMEM. */
int duplicates_put(struct duplicates *duplicates, const uint8_t key[16], uint64_t seq)
    __attribute__((warn_unused_result));

/* Forget ${key} if it still means ${seq}. */
void duplicates_drop(struct duplicates *duplicates, const uint8_t key[16], uint64_t seq);

/* The message of ${key}, or 0. */
uint64_t duplicates_get(const struct duplicates *duplicates, const uint8_t key[16]);

/* Messages up to and with ${seq} have left the window. */
void duplicates_forget(struct duplicates *duplicates, uint64_t seq);

size_t duplicates_count(const struct duplicates *duplicates);
