/* SPDX-License-Identifier: Apache-2.0 */
/*
 * French national identifiers: their form and their key.
 *
 * A check never says that a person or an establishment exists. Test data is full of identifiers whose key
 * does not fit (RPPS, FINESS, test INS), so an outcome is a finding with its certainty; whether it refuses
 * anything is the caller's rule: an INS key may refuse in production, a key of CERTAINTY_BACKGROUND never.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "codecs/certainty.h"
#include "codecs/span.h"

enum identifier_kind {
	IDENTIFIER_INS,	   /* matricule INS, NIR or NIA: 13 characters and a key of 2 */
	IDENTIFIER_RPPS,   /* 11 digits */
	IDENTIFIER_ADELI,  /* 9 characters */
	IDENTIFIER_FINESS, /* 9 characters */
	IDENTIFIER_SIREN,  /* 9 digits */
	IDENTIFIER_SIRET,  /* 14 digits (Monaco: letters too) */
	IDENTIFIER_KINDS,
};

enum identifier_outcome {
	IDENTIFIER_OK = 0,
	IDENTIFIER_BAD_FORM, /* length or characters */
	IDENTIFIER_BAD_KEY,
	IDENTIFIER_UNCHECKED, /* the form is known, its key is not */
};

struct identifier_check {
	enum identifier_outcome outcome;
	enum certainty certainty; /* of the rule that gave the outcome */
	bool unusual;	  /* INS: first digit or birth month out of the common; never a reason to refuse */
	const char *rule; /* that rule, a constant English sentence */
};

struct identifier_check identifier_check(enum identifier_kind kind, struct span value);

/*
 * The key (1 to 97) of the 13 characters of a NIR or NIA; 0 when they are none (Corsica: 2A, 2B as they
 * stand).
 */
unsigned identifier_ins_key(struct span body);

/* Whether the digits ${s} pass the Luhn check; false for the empty and for other characters. */
bool identifier_luhn(struct span s);

/*
 * A prefixed national identifier taken apart: PS_IdNat of a professional (TRE_G08: 0 ADELI, 3
 * FINESS/internal, 5 SIRET/internal, 8 RPPS ...) or Struct_IdNat of a structure (TRE_G07: 1 FINESS, 2
 * SIREN, 3 SIRET ...).
 */
struct identifier_national {
	struct span prefix;
	bool has_kind; /* ${value} is an identifier of ${kind}; otherwise its kind has no check here */
	enum identifier_kind kind;
	struct span value; /* what follows the prefix, up to a '/' */
	struct span local; /* behind the '/'; empty when there is none */
};

/* False when ${value} begins with no known prefix. */
bool identifier_professional(struct span value, struct identifier_national *parts);
bool identifier_structure(struct span value, struct identifier_national *parts);

/* "INS", "RPPS" ... and "ok", "bad-form", "bad-key", "unchecked". */
const char *identifier_kind_name(enum identifier_kind kind);
const char *identifier_outcome_name(enum identifier_outcome outcome);
