/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The message a load is made of: one HL7 v2 message in its MLLP frame, whose control id is written anew each time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MESSAGE_ID_LEN 20u /* 8 of the run, 12 of the count */

struct message {
	uint8_t *frame; /* VT content FS CR */
	size_t size;
	size_t id_at; /* MSH-10: MESSAGE_ID_LEN bytes */
};

/* An ADT^A01 of the project's own whose content has ${size} bytes (400 at least). 0 or -errno. */
int message_admission(struct message *message, size_t size) __attribute__((warn_unused_result));

/* The message in ${file}, with a control id of ours. 0, -EINVAL when it has no MSH-10, -errno. */
int message_read(struct message *message, const char *file) __attribute__((warn_unused_result));

void message_fini(struct message *message);

/* Write the id of message ${number} of the run called ${run} (8 characters) to ${id}: no NUL. */
void message_id(uint8_t id[MESSAGE_ID_LEN], const char *run, uint64_t number);
