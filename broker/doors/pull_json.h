/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pull API's JSON: made from what was journalled, in UTF-8 whatever the message's character set. Pure; runs on workers.
 *
 * Built with the JSON library under a budget, one item at a time, so that a page costs what its largest item costs. Received JSON is never
 * written again.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/base/config.h"
#include "broker/core/core.h"
#include "broker/core/facts.h"
#include "broker/store/journal.h"
#include "codecs/arena.h"
#include "codecs/buffer.h"

#define PULL_DOCUMENTS_MAX                                                                                   \
	1000u /* documents of one item that are listed; document_count tells how many there are */
#define PULL_TEXT_MAX	   1000u /* bytes of one text of an item; a longer one is cut */
#define PULL_ACK_ITEMS_MAX 10000u
#define PULL_CODE_MAX	   64u
#define PULL_REASON_MAX	   1024u
#define PULL_SEQ_MAX	   (((uint64_t)1 << 53) - 1)

#define PULL_TIME_SIZE 32

/* RFC 3339 in UTC with milliseconds; returns ${out}. */
char *pull_json_time(uint64_t time_us, char out[static PULL_TIME_SIZE]);

/* Append ${text}, valid UTF-8 of our own configuration, as a JSON string. */
void pull_json_string(struct buffer *out, const char *text);

/* Append the object of one item. False, and nothing appended, when it did not fit ${out} or the budget. */
bool pull_json_item(struct buffer *out, const struct record_head *head, const struct facts *facts)
    __attribute__((warn_unused_result));

/* Append the object of one inbox; ${oldest_us} 0: nothing waits. */
void pull_json_inbox(
    struct buffer *out, const struct config_destination *inbox, size_t waiting, uint64_t oldest_us);

/*
 * Read the body of an acknowledgement into settlements in ${arena}. NULL when it is well-formed: *${itemsp} and *${countp} are set; else a
 * sentence that tells what is wrong, without a byte of it.
 */
const char *pull_json_ack(struct span body, struct arena *arena, struct settlement **itemsp, size_t *countp);

/* Append the results of settled ${items}. */
void pull_json_results(struct buffer *out, const struct settlement *items, size_t count);
