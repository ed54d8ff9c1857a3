/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MLLP framing (HL7 v2 transport, "Minimal Lower Layer Protocol" release 1): VT content FS CR.
 *
 * The reader is fed with spans cut anywhere and gives the same events for every cut. A frame that lies wholly within one
 * fed span is handed out as a span over it, not copied; only a frame spread over several spans is gathered in a buffer of the
 * reader, never past the size cap. Every byte fed belongs to exactly one event (or to what is still held); the one exception
 * is the CR that comes late behind a frame which mllp_reader_end() ended without it: it belongs to that frame, already told.
 *
 * Resynchronisation: bytes before a VT are noise, one reject for the whole run. A VT inside a frame rejects what there
 * was and begins anew. An FS that no CR follows is data of the frame. The reader judges nothing inside a frame and keeps no clock:
 * deadlines belong to the caller, who tells them by mllp_reader_end().
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codecs/buffer.h"
#include "codecs/fault.h"
#include "codecs/span.h"

#define MLLP_VT 0x0bu
#define MLLP_FS 0x1cu
#define MLLP_CR 0x0du

#define MLLP_HEAD_MAX  64u	  /* bytes of a rejected run that are shown and journalled */
#define MLLP_KEPT_MAX  65536u	  /* memory that is kept for the next frame spread over spans */
#define MLLP_FRAME_MAX (1u << 30) /* no cap is larger: offsets inside a message fit in 32 bits */

/* Leniency: an FS ends the frame also when a VT, or nothing (mllp_reader_end), follows it. */
#define MLLP_LENIENT_NO_END_CR 1u

enum mllp_state {
	MLLP_OUTSIDE = 0, /* nothing, or noise so far */
	MLLP_IN_FRAME,
	MLLP_AFTER_FS, /* in a frame, the last byte was FS */
	MLLP_SKIPPING, /* in a frame already rejected as too large: bytes are only counted */
};

enum mllp_event_kind {
	MLLP_MORE = 0, /* the span is used up; feed the next */
	MLLP_FRAME,
	MLLP_REJECT,
};

/* Spans live until the next call on the reader, and no longer than the span that was fed. */
struct mllp_event {
	enum mllp_event_kind kind;
	enum fault_code cause; /* MLLP_REJECT: see mllp_reader_next */
	uint64_t offset;       /* where it begins in the stream, its VT included */
	uint64_t size;	       /* bytes of the stream it covers, VT and end block included */
	struct span
	    content; /* FRAME: what VT and FS CR enclose. REJECT of a frame: what is held of its content */
	struct span head; /* REJECT: its first bytes as received, at most MLLP_HEAD_MAX */
	bool lenient;	  /* FRAME: ended by an FS without CR (MLLP_LENIENT_NO_END_CR used) */
	bool rest;	  /* REJECT: further bytes of a frame whose rejection was told before */
};

struct mllp_reader {
	struct buffer held; /* content of a frame spread over several spans */
	size_t cap;	    /* greatest content taken */
	unsigned flags;	    /* MLLP_LENIENT_* */
	enum mllp_state state;
	enum fault_code cause; /* MLLP_SKIPPING: why */
	uint64_t offset;       /* stream offset of the next byte fed */
	uint64_t start;	       /* stream offset where the present run or frame began */
	uint8_t head[MLLP_HEAD_MAX];
	size_t head_len;
	bool skip_fs;		/* MLLP_SKIPPING: the last byte was FS */
	bool drop_held;		/* the last event showed held; forget it at the next call */
	bool late_cr;		/* a frame was ended without CR by mllp_reader_end: that CR may still come */
	uint64_t lenient_count; /* frames ended without CR */
};

/* Why the caller ends what is held. */
enum mllp_end {
	MLLP_END_CLOSED, /* the connection ended */
	MLLP_END_SLOW,	 /* the frame's deadline passed */
	MLLP_END_IDLE,	 /* nothing came for a second after an FS (only with MLLP_LENIENT_NO_END_CR) */
};

/*
 * Start ${r} outside a frame, taking contents of up to ${cap} bytes (cut to MLLP_FRAME_MAX) with the leniencies ${flags}.
 * Allocates nothing before a frame is split over spans.
 */
void mllp_reader_init(struct mllp_reader *r, size_t cap, unsigned flags);

/* Go by another ${cap} and other ${flags} from the next frame on: without effect while a frame is being read. */
void mllp_reader_adjust(struct mllp_reader *r, size_t cap, unsigned flags);

/* Free what ${r} holds. */
void mllp_reader_fini(struct mllp_reader *r);

/*
 * Read on in ${input}, which is advanced past the bytes used, until something is to be told in ${e}. Call again until
 * MLLP_MORE: then the whole span is used. Causes of MLLP_REJECT:
 *   FAULT_FRAME_NOISE    bytes outside a frame (told when a VT or the end comes)
 *   FAULT_FRAME_RESTART  a VT inside a frame
 *   FAULT_FRAME_END      an FS and then a VT or the end, without the leniency
 *   FAULT_TOO_LARGE      told as soon as the content passes the cap; ${content} has all of it so far, a byte past the cap (less, when
 *                        there was no memory for the last part). The rest of that frame is skipped and told, when it ends, in an
 *                        event with ${rest}
 *   FAULT_OVERLOAD       no memory to gather the frame: ${content} lacks the last part; goes on as for FAULT_TOO_LARGE
 */
enum mllp_event_kind mllp_reader_next(struct mllp_reader *r, struct span *input, struct mllp_event *e)
    __attribute__((warn_unused_result));

/*
 * End what is held, for the reason ${why}; ${r} is outside a frame afterwards. MLLP_MORE: there was nothing (or, for
 * MLLP_END_IDLE, nothing that an idle second ends: then all stays as it was). MLLP_FRAME: an FS without CR ended it (leniency).
 * MLLP_REJECT: noise (FAULT_FRAME_NOISE), FAULT_FRAME_CUT, FAULT_FRAME_SLOW, FAULT_FRAME_END, or the rest of a frame too large.
 */
enum mllp_event_kind mllp_reader_end(struct mllp_reader *r, enum mllp_end why, struct mllp_event *e)
    __attribute__((warn_unused_result));

/*
 * After an event whose content stands in the reader's own buffer: give that memory to ${out} (initialised, empty; its
 * old content is freed; its ceiling is raised if need be) instead of copying it, and return true. False: the content is in the fed span.
 */
bool mllp_reader_take(struct mllp_reader *r, const struct mllp_event *e, struct buffer *out);

/* Give back memory that nothing is gathered in. What the last event showed must be done with. */
void mllp_reader_trim(struct mllp_reader *r);

/* What the reader has allocated. */
size_t mllp_reader_memory(const struct mllp_reader *r);

/* Bytes gathered of the present frame: what it costs in memory (0 outside). */
size_t mllp_reader_held(const struct mllp_reader *r);

/* Bytes of the stream received that belong to no event told so far: noise, or the present frame with its VT. */
uint64_t mllp_reader_pending(const struct mllp_reader *r);

enum mllp_state mllp_reader_state(const struct mllp_reader *r);

/* "outside", "in-frame", "after-fs", "skipping". */
const char *mllp_state_name(enum mllp_state state);

/*
 * Whether ${content} can stand between VT and FS CR: it holds no VT, no FS followed by CR, and no FS as its last byte. For those who write a
 * frame in pieces; mllp_frame looks by itself.
 */
bool mllp_can_frame(struct span content);

/*
 * Append ${content} framed to ${b}. False, and nothing appended, when the content cannot be framed because it holds a VT, an
 * FS followed by CR, or an FS as its last byte. A failure of memory shows in ${b}.
 */
bool mllp_frame(struct buffer *b, struct span content) __attribute__((warn_unused_result));

/*
 * The same for content that is written in place: what is appended to ${b} between the two is framed. mllp_frame_begin returns what
 * mllp_frame_end takes; that gives false, and takes everything back to there, when the content cannot be framed or ${b} failed.
 */
size_t mllp_frame_begin(struct buffer *b);
bool mllp_frame_end(struct buffer *b, size_t from) __attribute__((warn_unused_result));
