/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Retention asks the core, which lives on the loop thread, from the journal's thread: one question at a time.
 */
#pragma once

#include "broker/core/core.h"

struct judge;

int judge_new(struct judge **judgep, struct core *core, struct poster *poster)
    __attribute__((warn_unused_result));

/* A journal_judge_fn with a struct judge as arg: waits for the loop's answer; -ESHUTDOWN once stopped. */
int judge_records(void *judge, const struct record_head *heads, size_t count, enum journal_fate *fates);

/* The loop will run no more: questions are answered -ESHUTDOWN from now on. NULL is harmless. */
void judge_stop(struct judge *judge);

/* After the journal is closed. NULL is harmless. */
void judge_free(struct judge *judge);
