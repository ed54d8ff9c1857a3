/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The object identifiers Liaison meets: whose identifiers they number or which code system they name,
 * whether they are for production or for tests, and how sure that is. A table to look up; nothing is
 * refused here.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "codecs/certainty.h"
#include "codecs/span.h"

enum oid_group {
	OID_INS,     /* the national health identity */
	OID_PATIENT, /* other national numbers of patients */
	OID_PROFESSIONAL,
	OID_STRUCTURE,
	OID_CODE_SYSTEM,
	OID_TEMPLATE, /* templateId, typeId of CDA */
};

enum oid_use {
	OID_ANY, /* both, or no such difference */
	OID_PRODUCTION,
	OID_TEST, /* test and demonstration: production refuses them where configured so */
};

struct oid_entry {
	const char *oid;
	const char *name; /* short, as written in messages and logs */
	const char *meaning;
	enum oid_group group;
	enum oid_use use;
	enum certainty certainty;
};

/* The entry of ${oid}, or NULL when it is none of ours. */
const struct oid_entry *oid_find(struct span oid);

/* All of them, in the order of the table. */
const struct oid_entry *oid_entries(size_t *count);

/*
 * Whether ${s} is written as an OID: arcs of digits without leading zeros, at least two, the first 0 to 2,
 * at most 128 characters.
 */
bool oid_valid(struct span s);

/*
 * Whether ${oid} numbers an INS that may identify a patient (NIR or NIA; test and demonstration included):
 * see ->use.
 */
bool oid_is_ins(struct span oid);
