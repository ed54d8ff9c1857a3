/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request on the control socket: from its line to its last answer.
 *
 * A command begins on the loop (its start), may go to a worker and come back as often as it likes (control_work), and ends on the
 * loop in exactly one control_ok or control_fail. Rows and the last line are gathered in the request and leave when it ends; a long
 * answer gives a ${more} instead, called whenever what was gathered has been sent. The client may go away at any time: the
 * request goes on to its end and then nobody is told.
 */
#pragma once

#include <stdarg.h>
#include <sys/types.h>

#include <jansson.h>

#include "broker/doors/control.h"
#include "broker/doors/control_line.h"
#include "codecs/arena.h"
#include "codecs/buffer.h"

#define CONTROL_OUT_MAX	   ((size_t)8 << 20)  /* rows of one answer held at a time */
#define CONTROL_MEMORY_MAX ((size_t)64 << 20) /* one request's arena; content has its own */
#define CONTROL_ROWS_MAX   1000		      /* of a list; the client asks for the next page */
#define CONTROL_PARKED	   "parked"	      /* the name of what no route wanted */
#define CONTROL_RECORDED   "(parked)"	      /* as records have it, so that it is nobody's name */
#define CONTROL_VIEW_MS	   2000		      /* how long an answer waits for the view to catch up */

struct control_connection;
struct control_request;

typedef void control_step(struct control_request *request);

struct control_request {
	struct workers_job job; /* first */
	struct control_request *prev, *next;
	const struct control_options
	    *with; /* as they were when it began, configuration and TLS held; of the listeners only its first
					     * step may speak */
	struct control_options options; /* what that is */
	struct control *control;
	struct control_connection *connection; /* NULL: the client is gone */
	struct control_line line;
	uid_t uid;
	char who[80]; /* "uid:1000(name)", after control_identify */

	control_step *work; /* on a worker */
	control_step *then; /* on the loop */
	control_step *more; /* on the loop, when ${out} has been sent; NULL: the request ends there */
	bool ended;
	bool waiting_to_go_on; /* no step is under way: its output is being sent */

	struct arena arena;
	struct buffer out;
	int result;			 /* of the work, for ${then} */
	struct control_content *content; /* control_content.c's own */
	uint64_t number;		 /* a command's own */
	void *own;			 /* a command's own, in the arena */
	json_t *row;			 /* a command's own, freed with the request */
};

/* Append {"row":...}; takes ${row}, NULL (no memory) included. On any thread that has the request. */
void control_row(struct control_request *request, json_t *row);

/* End well: {"ok":true} with the members of ${fields} (taken; may be NULL). On the loop. */
void control_ok(struct control_request *request, json_t *fields);

/* End badly: {"error":{"code","message"}}. Codes are stable: "absent", "busy", "refused", "store", "request", "internal". On the loop. */
void control_fail(struct control_request *request, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* control_fail for a view that cannot be read: what is damaged or gone is made anew without being asked. */
void control_fail_view(struct control_request *request, int error);

/* control_fail in the words of a -errno. */
void control_fail_errno(struct control_request *request, const char *what, int error);

/* Send what is gathered, then go on with ${more} (or end, when the request has ended). On the loop; ${request} may be gone afterwards. */
void control_deliver(struct control_request *request);

/* Run ${work} on a worker, then ${then} on the loop; without a free place control_fail. */
void control_work(struct control_request *request, control_step *work, control_step *then);

/* Fill request->who (the user's name is looked up on a worker), then run ${then}. */
void control_identify(struct control_request *request, control_step *then);

/* When the door was opened, on the monotonic clock. */
uint64_t control_since_us(const struct control *control);

bool control_stopping(const struct control *control);

/* Requests that hold content in memory. */
size_t control_content_readers(const struct control *control);

/* Log an operator's act, on ${count} messages from ${id} on (0: on none), at ${destination} (NULL: on no one's). */
void control_log_act(
    struct control_request *request, const char *what, const char *destination, uint64_t id, uint64_t count);

/* control_fail: the journal could not take this act. */
void control_fail_journal(struct control_request *request);

/* JSON texts: never NULL for want of valid UTF-8. ${us} is journal or wall time; 0 gives null. */
json_t *control_text(const char *text);
json_t *control_time(uint64_t us);

/* "AA", "AE", "AR", "none"; "accepted", "rejected", "dead-letter", "dropped", "" */
const char *control_answer_name(unsigned answer);
const char *control_outcome_name(unsigned outcome);

/* The commands. */
extern control_step *const control_steps[CONTROL_VERBS];
control_step control_status, control_peers, control_events; /* control_state.c */
control_step control_certs, control_peer_test;		    /* control_certs.c */
control_step control_show, control_why, control_search;	    /* control_show.c */
control_step control_queue;				    /* control_queue.c */
control_step control_content;				    /* control_content.c */
control_step control_proof;				    /* control_proof.c */
control_step control_tail;				    /* control_tail.c */
control_step control_check, control_rebuild;		    /* control_check.c */
control_step control_reload, control_hold, control_release; /* control_acts.c */
control_step control_drop;				    /* control_drop.c */
control_step control_replay;				    /* control_replay.c */
control_step control_purge;				    /* control_purge.c */
void control_content_free(struct control_content *content);

/* The row of a message, for lists. */
json_t *control_message_row(const struct trace_message *message);
