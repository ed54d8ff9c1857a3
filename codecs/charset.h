/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Character sets: which one a message is in, decided once and recorded, and reading it as UTF-8.
 *
 * Bytes are never changed here: a message is kept and forwarded as received, the decision only says how to
 * read it. Its order: the peer's setting, MSH-18 (HL7 table 0211, in the spellings met), valid UTF-8, and
 * in the end the French legacy sets. Reading never replaces: a byte that means nothing in the set is an
 * outcome, or is shown escaped where the caller asks for that.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codecs/buffer.h"
#include "codecs/span.h"

enum charset {
	CHARSET_NONE, /* not said, not known */
	CHARSET_ASCII,
	CHARSET_UTF_8,
	CHARSET_8859_1,
	CHARSET_8859_15,
	CHARSET_WINDOWS_1252,
	CHARSET_OTHER, /* known by name, cannot be read here: 8859/2 to 8859/9, UTF-16, ISO IR87 ... */
};

enum charset_reason {
	CHARSET_BY_PEER, /* the peer's setting */
	CHARSET_BY_MSH18,
	CHARSET_BY_BYTES,    /* ASCII only, or valid UTF-8 */
	CHARSET_BY_FALLBACK, /* nothing else told */
};

struct charset_decision {
	enum charset charset;
	enum charset_reason reason;
	enum charset msh18;  /* what MSH-18 says; CHARSET_NONE when absent or unknown */
	bool msh18_unknown;  /* it says something that is no name of a set */
	bool msh18_sloppy;   /* a set, but not as table 0211 spells it */
	bool msh18_lies;     /* it names ASCII or UTF-8 and the bytes are not */
	bool msh18_doubtful; /* it names a set of the 8859 family and the bytes are UTF-8 beyond ASCII */
	size_t bad_offset;   /* with msh18_lies: the first byte that shows it */
};

/*
 * The set called ${name}: a value of table 0211, or a spelling met in the field (case, blanks, '-', '_' and
 * '/' do not count: "utf8", "ISO-8859-15", "UNICODE", "CP1252" ...), then ${sloppy} is set. CHARSET_NONE
 * for the empty and the unknown.
 */
enum charset charset_parse(struct span name, bool *sloppy);

/*
 * Decide how ${bytes} are to be read. ${peer}: the peer's setting or CHARSET_NONE. ${msh18}: the first
 * repetition of MSH-18, raw. ${fallback}: CHARSET_8859_15 or CHARSET_8859_1 (CHARSET_NONE: the former);
 * taken as windows-1252 when bytes 80-9F occur, which in the 8859 family are controls that no text holds. A
 * name that the bytes belie (msh18_lies) is passed over.
 */
struct charset_decision charset_decide(
    enum charset peer, struct span msh18, struct span bytes, enum charset fallback);

enum charset_outcome {
	CHARSET_OK = 0,
	CHARSET_INVALID,    /* a byte or sequence means nothing in the set */
	CHARSET_UNREADABLE, /* no reading of this set here */
	CHARSET_NO_ROOM,
};

/*
 * Append ${bytes}, which are in ${charset}, to ${out} as UTF-8. With CHARSET_INVALID, ${offset} (may be
 * NULL) is the place in ${bytes}, and what stands before it has been appended.
 */
enum charset_outcome charset_to_utf8(enum charset charset, struct span bytes, struct buffer *out,
    size_t *offset) __attribute__((warn_unused_result));

/*
 * The same for showing to a person: a byte that means nothing becomes "\xHH" (a backslash of the text stays
 * one: not to be read back). Returns how many bytes were escaped; sets without a reading are shown as
 * ASCII. See buffer_failed for the ceiling.
 */
size_t charset_show(enum charset charset, struct span bytes, struct buffer *out);

/* The IANA name ("ISO-8859-15"); "" for CHARSET_NONE and CHARSET_OTHER. */
const char *charset_name(enum charset charset);

/* A stable lower-case word for logs and records: "peer", "msh18", "bytes", "fallback". */
const char *charset_reason_name(enum charset_reason reason);
