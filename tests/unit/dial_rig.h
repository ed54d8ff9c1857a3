/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A rig for tests of links outwards: a dialler on the loop of net_rig.h, whose listener is the server that is dialled unless a test has one of its
 * own; and names that resolve as the test says (the program is linked with -Wl,--wrap=getaddrinfo).
 */
#pragma once

#include "broker/net/dial.h"
#include "broker/store/workers.h"
#include "net_door.h"

struct dial_rig {
	struct rig rig;
	struct door server; /* the echo behind the rig's listener */
	struct workers *workers;
	struct tls_context *client;
	struct dialler *dialler;
	struct config_dial to; /* the rig's listener by its number, for 127.0.0.1, within 5 s */
	struct door door;      /* the dialling side */
	int fds;	       /* of the process, before */

	/* Of the last failure. */
	atomic_uint failed;
	char step[16], why[64], address[64], subject[256];
	int error;
	bool identified;
	/* Of the last end. */
	char end_why[64];

	/* What the dialling side does once it is open: send ${size} bytes, and whatever comes it counts. */
	size_t to_send;
	bool refuse;			     /* opened() returns NULL */
	bool again;			     /* failed(), closed(): dial at once once more */
	void (*at_input)(struct dial_rig *); /* on the loop */
};

/* Certificates and files, to be changed before dial_rig_start. Notes how many descriptors are open. */
void dial_rig_init(struct dial_rig *rig);
/* The server's certificate, ours: what is used instead. */
void dial_rig_server(struct dial_rig *rig, const struct certificate *certificate);
void dial_rig_client(struct dial_rig *rig, const struct certificate *certificate);
void dial_rig_start(struct dial_rig *rig);
/* Frees the dialler first. */
void dial_rig_stop(struct dial_rig *rig);
/* As many descriptors are open as before, or the test fails. */
void dial_rig_fini(struct dial_rig *rig);

/* Dial on the loop thread; what dialler_dial said. */
int dial_now(struct dial_rig *rig);
void dial_cancel(struct dial_rig *rig);
void dial_free(struct dial_rig *rig);
/* Dial, and wait for the failure: it must be this one. */
void dial_must_fail(struct dial_rig *rig, const char *step, const char *why);

/* Run ${work} on the loop thread, and wait for it. */
void dial_on_loop(struct dial_rig *rig, void (*work)(struct dial_rig *rig));

/* "two.test" resolves to 127.0.0.2, where nobody listens, then 127.0.0.1; "turned.test" the other way round; "silent.test" like two.test, but
 * only after names_speak. "none.test": EAI_NONAME; "down.test": EAI_AGAIN. */
extern atomic_uint names_asked;
void names_silence(void);
void names_speak(void);

/* A socket that listens on 127.0.0.1 with room for ${backlog}; *${portp} is its port, any if it was 0. */
int listen_here(int backlog, uint16_t *portp);

/* A server with a certificate that does as it is told, on a thread. */
enum manner {
	CLOSES_AT_ONCE,
	RESETS_IN_HANDSHAKE,
	CLOSES_IN_HANDSHAKE, /* after the first bytes */
	SPEAKS_HTTP,
	READS_NOTHING,	      /* the handshake, and then stands still */
	SAYS_MORE_AND_RESETS, /* the handshake and a byte, some time later ten more and a reset */
	CLOSES_AFTER,	      /* the handshake and a byte */
	BEGINS_A_TICKET,      /* the handshake and the first record of a long ticket, and then stands still */
};
struct server {
	enum manner manner;
	const struct certificate *certificate;
	int listening;
	uint16_t port; /* 0: any; then the one it has */
	pthread_t thread;
	atomic_uint stop;
};
void server_start(struct server *server);
void server_stop(struct server *server);

/* Between the dialler and ${to}: passes on byte by byte. */
struct drip {
	uint16_t port, to;
	int listening;
	pthread_t thread;
};
void drip_start(struct drip *drip);
void drip_stop(struct drip *drip);
