/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration of one broker, loaded whole and then never changed.
 *
 * A load reads `liaison.conf` and the files of `conf.d/` beside it (in name order, lists are joined), resolves every
 * name to the thing it names, and either gives a complete configuration or a list of errors, each with file, line and what was
 * meant. Nothing here opens a key, a socket or the journal: see config_check_files for what only the disk can tell.
 * All pointers live as long as the configuration, which lives as long as somebody holds it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codecs/buffer.h"

enum config_mode {
	MODE_PRODUCTION = 0,
	MODE_TEST,
};

/*
 * Where there is a ${fingerprint}: two that were written alike, but for blanks, comments and what stands elsewhere, have the same.
 */

struct config_establishment {
	const char *name;
	uint64_t fingerprint;
	const char *const *finess; /* FINESS numbers, 9 characters each */
	size_t finess_count;
	enum config_mode mode;
};

enum config_identity_kind {
	IDENTITY_SUBJECT, /* issuer and full subject, RFC 2253 text of both */
	IDENTITY_SAN,	  /* issuer and one subjectAltName: "dns:...", "email:...", "uri:..." */
	IDENTITY_SPKI,	  /* SHA-256 of the SubjectPublicKeyInfo */
};

/* How a certificate is known to be a peer's. Never the CN alone. */
struct config_identity {
	enum config_identity_kind kind;
	const char *issuer;
	const char *subject; /* or the SAN, prefix included */
	uint8_t spki[32];
};

/* "ORU^R01", "MDM^*", "*": event NULL means any, type NULL means any. */
struct config_type {
	const char *type;
	const char *event;
};

/* MSH-3 and MSH-4 (first component), NULL means any. */
struct config_sender {
	const char *application;
	const char *facility;
};

/* Leniencies towards a peer's messages; each use is counted. */
enum config_leniency {
	LENIENT_LF = 1 << 0,	      /* "lf": segments may end with LF or CRLF */
	LENIENT_NO_FINAL_CR = 1 << 1, /* "no-final-cr": the last segment may lack its end */
	LENIENT_NO_END_CR = 1 << 2,   /* "no-end-cr": the end block may be FS without CR */
};

/* Processing ids (MSH-11.1) as a mask. */
enum config_processing {
	PROCESSING_P = 1 << 0,
	PROCESSING_T = 1 << 1,
	PROCESSING_D = 1 << 2,
};

/* What becomes of a message with an XML document that is not well-formed. */
enum config_well_formed {
	WELL_FORMED_WARN = 0, /* taken, counted and told */
	WELL_FORMED_REFUSE,   /* AE */
	WELL_FORMED_OFF,      /* documents are not read */
};

struct config_peer {
	const char *name;
	uint64_t fingerprint;
	const struct config_establishment *establishment;
	const struct config_identity *identities;
	size_t identity_count;
	const struct config_sender *senders; /* none: any */
	size_t sender_count;
	const struct config_type *types; /* none: any */
	size_t type_count;
	const char *const *restamped; /* HL7 paths left out when a resend is compared, e.g. "MSH-7" */
	size_t restamped_count;
	unsigned processing; /* enum config_processing */
	unsigned lenient;    /* enum config_leniency */
	enum config_well_formed well_formed;
	const char *charset; /* what MSH-18 should have said; NULL: believe MSH-18 */
	uint64_t max_size;   /* bytes of one message */
	unsigned max_connections;
	unsigned max_in_flight; /* messages read and not yet answered, per connection */
	uint64_t
	    junk_quota; /* bytes of refused frames and refused messages per hour before its connections are closed */
	uint64_t silent_after_s; /* a sender that says nothing for so long is told as silent; 0: never */
	bool may_send;		 /* push messages */
	bool may_read;		 /* use the pull API */
};

enum config_protocol {
	PROTOCOL_MLLP,
	PROTOCOL_HTTPS,
};

struct config_listener {
	const char *name;
	uint64_t fingerprint;
	enum config_protocol protocol;
	const char *address;
	uint16_t port;
	unsigned max_connections;
	const struct config_peer *plain; /* no TLS: whoever connects is this peer; on the loopback only */
};

enum config_destination_kind {
	DESTINATION_INBOX, /* waits to be read */
	DESTINATION_MLLP,  /* is dialled: HL7 v2 over MLLP and mutual TLS */
};

/* How a destination that is dialled is reached. */
struct config_dial {
	const char *host;	 /* a name or a numeric address */
	const char *server_name; /* what its certificate must be for; never NULL: ${host} unless said */
	uint16_t port;
	unsigned window;	 /* messages sent and not yet acknowledged; 1 unless said */
	uint64_t connect_ms;	 /* from resolving to the end of the handshake */
	uint64_t acknowledge_ms; /* from a message to its acknowledgement */
	uint64_t retry_first_ms; /* the shortest and the longest pause between tries */
	uint64_t retry_longest_ms;
};

/* Where a route leads. */
struct config_destination {
	const char *name;
	uint64_t fingerprint;
	enum config_destination_kind kind;
	const struct config_establishment *establishment;
	const struct config_peer *const *readers;
	size_t reader_count;
	struct config_dial dial;   /* of those that are dialled */
	uint64_t max_age_s;	   /* past it: dead letter; 7 days unless said */
	unsigned max_disk_percent; /* share of the disk its waiting messages may hold; 20 unless said */
};

/* One row of the ordered table. A NULL condition is not asked. Values compare whole; a final `*` matches any rest. */
struct config_route {
	const char *name;
	const char *place; /* "file:line" */
	uint64_t fingerprint;
	const char *peer;
	const char *type;
	const char *event;
	const char *sending_application;
	const char *sending_facility;
	const char *receiving_application;
	const char *receiving_facility;
	const char *authority; /* any PID-3.4: its namespace or its universal id */
	const char *document;  /* any document's type code */
	const char *mode;      /* "production" or "test" */
	const struct config_destination *const *to;
	size_t to_count;
	bool go_on; /* look at later rows too; otherwise the first match ends it */
};

enum config_unrouted {
	UNROUTED_PARK,	 /* accept, keep, alert */
	UNROUTED_REFUSE, /* AE */
};

struct config_tls {
	const char *certificate; /* PEM: ours and its chain */
	const char *key;	 /* PEM, readable by its owner only */
	const char *authorities; /* PEM: who may issue peers' certificates */
	const char *crls; /* PEM: revocation lists of every authority of a chain; NULL: none are looked at */
	bool unchecked;	  /* the operator asked in so many words for no revocation in production */
};

struct config_journal {
	uint64_t segment_size; /* bytes zero-filled ahead per segment */
	uint64_t retention_s;  /* segments older than this are carried forward and removed; 0: never */
	uint64_t duplicate_window_s;
	uint64_t disk_floor; /* free bytes under which pushes are answered AR */
	uint64_t reserve;    /* bytes kept zero-filled for outcomes, reads, refusals and operators' acts */
	const char
	    *seal_certificate; /* PEM files of the key that signs the journal; both NULL: it is not signed */
	const char *seal_key;
};

struct config_limits {
	unsigned connections;	/* all listeners together */
	unsigned workers;	/* threads that check content and read the journal */
	unsigned large_slots;	/* frames or bodies past large_size held at a time */
	uint64_t large_size;	/* 1 MiB */
	uint64_t large_rate;	/* bytes per second a large frame must keep */
	uint64_t memory;	/* bytes of frames, bodies and answers held at a time, but for large ones */
	uint64_t output_buffer; /* bytes buffered for a slow reader: 256 KiB */
	uint64_t handshake_ms;	/* from accept to a verified peer */
	uint64_t frame_ms;	/* from a start block to its end block */
	uint64_t head_ms;	/* from the first byte of an HTTP head to its end */
	uint64_t body_ms;
	uint64_t idle_ms;   /* between messages */
	uint64_t answer_ms; /* an answer that the other side does not read */
	uint64_t stop_ms;   /* what is in flight at SIGTERM gets this long: 8 s */
};

struct config {
	const char *state;  /* directory of the journal, the views, the lock */
	const char *socket; /* control socket */
	const char *socket_group;
	const char *log_file;	   /* NULL: standard error */
	int log_level;		   /* enum log_level */
	const char *admin_address; /* metrics and health, loopback only */
	uint16_t admin_port;
	enum config_unrouted unrouted;
	struct config_tls tls;
	struct config_journal journal;
	struct config_limits limits;
	const struct config_establishment *establishments;
	size_t establishment_count;
	const struct config_peer *peers;
	size_t peer_count;
	const struct config_listener *listeners;
	size_t listener_count;
	const struct config_destination *destinations; /* inboxes come first */
	size_t destination_count;
	const struct config_route *routes;
	size_t route_count;
	struct config_loaded *
	    loaded; /* whose holds are counted; NULL: not made by config_load, held as long as its maker says */
};

/* Outcome of config_load beside 0 and -errno. */
enum {
	CONFIG_INVALID = 1, /* ${errors} holds one line per error: "file:line: what is wrong; what was meant";
	     * without a line where the file itself is at fault */
};

/* Load ${path} and its conf.d. On 0 *${configp} is held once, by the caller: config_release. Errors are appended to ${errors} (made by the
 * caller), also when -errno is returned. */
int config_load(const char *path, struct config **configp, struct buffer *errors)
    __attribute__((warn_unused_result));

/*
 * Like config_load, but only ${socket} and ${socket_group} are read and all else is empty and unchecked: a mistake elsewhere does not keep an
 * operator from the broker that runs, nor does a file that is half written, when the socket stands before the place; ${errors} tells of it also on 0.
 */
int config_load_control(const char *path, struct config **configp, struct buffer *errors)
    __attribute__((warn_unused_result));

/* What only the disk can tell: keys readable by their owner alone, files present, state directory usable. Appends like config_load. */
int config_check_files(const struct config *config, struct buffer *errors)
    __attribute__((warn_unused_result));

/*
 * Append what is valid and cannot be meant, a line each, "file:line: ...": a route to where nothing that it takes may go, because modes never
 * mix (all of it would be parked).
 */
void config_warnings(const struct config *config, struct buffer *warnings);

/* What another configuration changes, by kind: how many were added, removed, or are written otherwise. */
struct config_changes {
	unsigned establishments, peers, listeners, destinations, routes;
};

/* From ${before} to ${after}; a line for each is appended to ${report}: "peer chu-lyon: added", and for
 * each group of other settings in which something differs: "limits: changed". */
void config_compare(const struct config *before, const struct config *after, struct config_changes *changes,
    struct buffer *report);

/*
 * Whether a broker that runs under ${before} can go on under ${after}: some settings are read at start only. A line for each that differs is
 * appended to ${errors}.
 */
bool config_can_follow(const struct config *before, const struct config *after, struct buffer *errors);

/*
 * Holds are counted, so that a configuration that another has replaced lives as long as what began under it. Whoever keeps a pointer into one
 * beyond a callback holds it. Not by two threads at a time: on the loop thread once it is in use there.
 */

/* One more hold; returns ${config}. */
const struct config *config_hold(const struct config *config);

/* One hold less; the last one frees it. NULL is harmless. */
void config_release(const struct config *config);

/* NULL when there is none of that name. */
const struct config_peer *config_peer(const struct config *config, const char *name);
const struct config_destination *config_destination(const struct config *config, const char *name);

/* Whether any destination is dialled: then our certificate must be good for a client as well. */
bool config_dials(const struct config *config);

const char *config_mode_name(enum config_mode mode);
