/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How the sending to a dialled destination stands: what the senders know and operators ask for. The senders implement it, the doors
 * read it; neither knows the other. On the loop thread only.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum sender_phase {
	SENDER_IDLE,	   /* nothing to send */
	SENDER_CONNECTING, /* dialling, up to the end of the handshake */
	SENDER_SENDING,	   /* connected: messages go out or are waited for */
	SENDER_WAITING,	   /* a pause before the next try */
	SENDER_HELD,	   /* an operator holds it */
};

/* Times are journal time in microseconds; 0: never, none. */
struct sender_state {
	enum sender_phase phase;
	uint64_t since_us;  /* when ${phase} began */
	unsigned tries;	    /* that failed since the last acknowledgement */
	uint64_t next_us;   /* when it is tried next */
	unsigned in_flight; /* messages sent and not yet acknowledged */
	uint64_t last_ok_us;
	char error[200]; /* the last failure in words, never a value of a message; "" when there was none */
	uint64_t error_us;
};

/* The senders as others see them. */
struct sending {
	void *senders;
	/* False when no destination of that name is dialled. */
	bool (*state)(void *senders, const char *name, struct sender_state *state);
	/* Try now: a pause ends. An unknown name is harmless. */
	void (*kick)(void *senders, const char *name);
};
