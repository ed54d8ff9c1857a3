/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ceiling on what libxml2 allocates for one document, per thread.
 *
 * Between xml_budget_begin and xml_budget_end allocations of this thread fail past the budget, and the reader's verdict is XML_NO_MEMORY.
 * Outside such a pair libxml2 allocates freely. What was allocated under a budget may be freed anywhere.
 */
#pragma once

#include <stddef.h>

/* Put the budget under libxml2: before its first use in the program, once. */
void xml_budget_install(void);

void xml_budget_begin(size_t bytes);

/*
 * Whether every allocation was given. If not, no verdict of the reader counts: libxml2 does not always notice and may call a document malformed of which it
 * lost a part.
 */
enum xml_budget_end {
	XML_BUDGET_KEPT = 0,
	XML_BUDGET_PASSED, /* one went past the budget */
	XML_BUDGET_SHORT,  /* the machine had none */
};

enum xml_budget_end xml_budget_end(void);
