/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content and core as the HL7 door sees them: submissions are remembered, and answered when the test says what.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/content/content.h"
#include "broker/core/core.h"

#define SUBMISSIONS_MAX 64

struct fake_submission {
	const struct submission *submission; /* NULL once answered */
	core_done_fn *done;
	void *arg;
};

extern struct fake_submission submitted[SUBMISSIONS_MAX];
extern size_t submitted_count;

/* What peers are charged of junk, and whether that is past their quota. */
extern uint64_t charged;
extern bool quota_passed;

/* How often a peer was said to be heard. */
extern unsigned heard;

/* What content says is still to be read of a message's documents, and how often that was done. */
extern uint64_t documents_unread;
extern unsigned documents_read;

/* Answer submission ${i}. */
void verdict(size_t i, enum answer answer, uint64_t seq, const struct fault *fault);
